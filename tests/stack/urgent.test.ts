/** Urgent data: the byte that was last written when `urgent` was called is marked, whatever is written after it. */
import { RecordTable } from '../../host/transports/records.js';
import type { TcpShared } from '../../host/transports/tcp/view.js';
import { assert, suite } from '../support/suite.js';
import { AT, type C, until, wired } from './rig.js';

const test = suite('stack: urgent');

for (const ringed of [true, false])
  test(`urgent() marks the byte before it, not those written after it (${ringed ? 'with a ring' : 'before there is one'})`, () =>
    wired(async ({ engine, a, b }) => {
      let peer: C | undefined;
      let urgent = 0;
      b.onAccept = connection => {
        peer = connection;
        return e => {
          urgent += e.urgent ? 1 : 0;
        };
      };
      b.stack.burst.listen({ port: 7 });
      const c = a.connect({ host: AT.b[4], port: 7 });
      await until([a, b], () => c.connected && peer !== undefined);
      const first = ringed ? 'hello' : '';
      if (ringed) {
        c.write(Buffer.from(first));
        await until([a, b], () => peer!.readable === first.length);
      }
      c.write(Buffer.from('abc'));
      c.urgent();
      c.write(Buffer.from('defgh'));
      await until([a, b], () => peer!.readable === first.length + 8);
      assert.is(urgent, 1);
      const flows = new RecordTable(engine.arena, (b.stack.transport.shared as TcpShared).flows);
      const position = flows.get(peer!.id, 'rcv_up') - flows.get(peer!.id, 'irs') - 1;
      // As Linux: of the last urgent byte itself.
      assert.is(position >>> 0, first.length + 2);
    }));

test('urgent() before the handshake is through, and before options change, marks the same byte', () =>
  wired(async ({ engine, a, b }) => {
    let peer: C | undefined;
    b.onAccept = connection => {
      peer = connection;
      return () => {};
    };
    b.stack.burst.listen({ port: 7 });
    const c = a.connect({ host: AT.b[4], port: 7 });
    c.write(Buffer.from('abc'));
    c.urgent();
    c.write(Buffer.from('defgh'));
    c.set({ noDelay: true });
    await until([a, b], () => peer?.readable === 8);
    const flows = new RecordTable(engine.arena, (b.stack.transport.shared as TcpShared).flows);
    assert.is((flows.get(peer!.id, 'rcv_up') - flows.get(peer!.id, 'irs') - 1) >>> 0, 2);
  }));
