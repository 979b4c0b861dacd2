/** Ports that are not served any more, and those that others serve: what their clients' channels come to. */
import { assert, suite } from '../support/suite.js';
import { type Forged, forged, PORT } from './forged.js';

const test = suite('homa: serving');
/** UNKNOWN_REFUSED of reply.h. */
const REFUSED = 0x80;

/** Flags of the RPC_UNKNOWNs that left. */
const refusals = (f: Forged): (number | undefined)[] =>
  f.out.splice(0).flatMap(({ packet }) => (packet.type === 'RPC_UNKNOWN' ? [packet.flags] : []));

test('a channel that a client has makes no call of a port that is not served any more', () =>
  forged({}, f => {
    f.put(f.data(1n, 5, 'before'));
    f.pass(8);
    f.put(f.ack(1n, 5));
    f.pass(1);
    f.out.length = 0;
    f.messages.unserve(PORT);
    f.put(f.data(2n, 5, 'after'));
    f.pass(1);
    assert.equal(f.seen, ['before']);
    assert.equal(refusals(f), [REFUSED]);
    assert.equal(f.served, []);
  }));

test('a call that was being answered is answered, and the next is refused', () =>
  forged({}, f => {
    f.put(f.data(1n, 5, 'before'));
    f.step();
    f.messages.unserve(PORT);
    f.put(f.ask(1n, 5));
    f.pass(1);
    assert.ok(f.out.splice(0).filter(({ packet: p }) => p.type === 'DATA').length >= 2);
    // It says that the answer came.
    f.put(f.data(2n, 5, 'after'));
    f.pass(1);
    assert.equal(f.seen, ['before']);
    assert.equal(refusals(f), [REFUSED]);
    assert.equal(f.server.failed, []);
  }));

test('a port that another application serves: calls of old channels are its own', () =>
  forged({}, f => {
    f.put(f.data(1n, 5, 'before'));
    f.pass(1);
    f.messages.unserve(PORT);
    f.messages.serve({ app: f.caller.number, port: PORT });
    f.put(f.data(2n, 5, 'after'));
    f.pass(1);
    assert.equal(f.seen, ['before']);
    assert.equal(refusals(f), []);
    assert.is(f.counters.Opened, 2);
  }));

test('what becomes of other ports is nothing to a channel', () =>
  forged({}, f => {
    f.put(f.data(1n, 5, 'before'));
    f.pass(1);
    f.messages.serve({ app: f.caller.number, port: 200 });
    f.messages.unserve(200);
    f.messages.setLaneApps(PORT, [f.server.app.number]);
    for (let call = 2n; call < 5n; call++) f.put(f.data(call, 5, `call ${call}`));
    f.pass(1);
    assert.equal(f.seen, ['before', 'call 2', 'call 3', 'call 4']);
    assert.is(f.counters.Opened, 1);
  }));
