/** HomaModule's own clients and servers: what they acknowledge, and how; what they leave unset in their headers. */
import { HOMA_RESEND_ALL, type HomaPacket } from '../../host/wire/homa.js';
import { assert, suite } from '../support/suite.js';
import { type Forged, forged, PEER, PORT } from './forged.js';
import { homaFrame } from './packets.js';

const test = suite('homa: HomaModule');
const OWN = '10.0.0.2';
/** As HomaModule sends it: RPCs are numbered 2, 4, 6 …, each a channel of its own. */
const FOREIGN = { marked: undefined };
const request = (f: Forged, rpc: number, text: string, more: object = {}): HomaPacket =>
  f.data(0n, rpc, text, { ...FOREIGN, ...more });
/** HomaModule's answer to NEED_ACK: the header says which RPC, the list has others. */
const acknowledged = (f: Forged, rpc: number, others: number[] = []): HomaPacket =>
  f.control('ACK', 0n, rpc, {
    ...FOREIGN,
    acks: others.map(n => ({ clientId: BigInt(n) << 1n, serverPort: PORT })),
  });
const count = (f: Forged, type: string): number => f.types().filter(t => t === type).length;

/** Puts a packet whose fields that HomaModule does not set have what was in its memory. */
function unset(f: Forged, packet: HomaPacket): void {
  const frame = homaFrame(packet, { src: PEER, dst: OWN });
  const common = 34;
  frame.set([0xde, 0xad, 0xbe], common + 8);
  frame.set([0xff], common + 13);
  frame.set([0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc], common + 14);
  f.nic.send(frame);
}

test('an ACK that lists nothing is about the RPC of its header', () =>
  forged({}, f => {
    f.put(request(f, 5, 'hello'));
    f.pass(20);
    assert.ok(f.types().includes('NEED_ACK'));
    f.put(acknowledged(f, 5));
    f.pass(150);
    assert.is(count(f, 'NEED_ACK'), 0);
    assert.is(f.counters.Timeouts ?? 0, 0);
  }));

test('an ACK that lists others is about all of them', () =>
  forged({}, f => {
    for (const rpc of [5, 6, 7, 8]) f.put(request(f, rpc, `call ${rpc}`));
    f.pass(1);
    f.put(acknowledged(f, 5, [6, 7]));
    f.pass(1);
    assert.is(f.served.length, 1);
    assert.is(f.view.info(f.served[0]).state, 2);
    f.pass(150);
    assert.is(f.counters.Closed, 3);
  }));

test('an ACK of another port, or of another server’s, is not about it', () =>
  forged({}, f => {
    f.put(request(f, 5, 'hello'));
    f.pass(1);
    f.put({ ...acknowledged(f, 5), sport: 0x9000 });
    f.put({ ...acknowledged(f, 5), dport: 98 });
    f.put(acknowledged(f, 5), { src: '10.0.0.10' });
    f.pass(1);
    assert.is(f.served.length, 1);
  }));

test('an ACK that comes in at another lane finds the channel of its header', () =>
  forged({ lanes: 2 }, f => {
    f.put(request(f, 5, 'hello'), { queue: 1 });
    f.pass(1);
    f.put(acknowledged(f, 5), { queue: 0 });
    f.pass(1);
    assert.equal(f.served, []);
  }));

test('a call that the next request acknowledges by the way is forgotten', () =>
  forged({}, f => {
    f.put(request(f, 6, 'one'));
    f.pass(1);
    f.put(request(f, 7, 'two', { ack: { clientId: 12n, serverPort: PORT } }));
    f.pass(1);
    assert.equal(f.seen, ['one', 'two']);
    assert.is(f.served.length, 1);
    assert.is(f.counters.Closed, 1);
  }));

test('calls that are acknowledged give their streams back: many more of them than there are streams', () =>
  forged({ streams: 64 }, f => {
    let answers = 0;
    for (let rpc = 1; rpc <= 400; rpc++) {
      f.put(request(f, rpc, 'x'));
      f.pass(0.5);
      for (const { packet } of f.out.splice(0)) {
        if (packet.type !== 'DATA') continue;
        answers++;
        f.put(acknowledged(f, rpc));
      }
    }
    assert.is(answers, 400);
    assert.is(f.counters.NoStreams ?? 0, 0);
  }));

test('a call that was acknowledged is not executed when its request comes once more', () =>
  forged({}, f => {
    f.put(request(f, 5, 'pay 10 euro'));
    f.pass(1);
    f.put(acknowledged(f, 5));
    f.pass(1);
    f.put(request(f, 5, 'pay 10 euro'));
    f.pass(5);
    assert.equal(f.seen, ['pay 10 euro']);
  }));

test('what control packets do not set means nothing: all of an answer is sent again', () =>
  forged({ answer: () => new Uint8Array(9000) }, f => {
    f.put(request(f, 5, 'hello'));
    f.pass(1);
    f.out.length = 0;
    const all = { ...FOREIGN, offset: 0, length: HOMA_RESEND_ALL, priority: 7 };
    unset(f, f.control('RESEND', 0n, 5, { ...all, sequence: 4200 }));
    f.pass(1);
    const sent = f.out.flatMap(({ packet: p }) => (p.type === 'DATA' ? [p.offset] : []));
    assert.is(sent[0], 0);
    assert.is(f.counters.CsumErrors ?? 0, 0);
  }));

test('what control packets do not set means nothing: a server that lost the request did not refuse it', () =>
  forged({}, f => {
    const client = f.messages.client({ app: f.caller.number });
    const [id] = f.messages.openSlots(client, 1, { ifindex: f.engine.port('eth').ifindex });
    f.open(id).call({ address: PEER, port: PORT }, new Uint8Array(10));
    f.pass(1);
    const [{ packet }] = f.out.splice(0);
    const back = { sport: packet.dport, dport: packet.sport, senderId: packet.senderId ^ 1n };
    unset(f, { type: 'RPC_UNKNOWN', ...back });
    f.pass(1);
    assert.is(f.view.error(id), undefined);
    assert.equal(f.types(), ['DATA']);
    unset(f, { type: 'BUSY', ...back });
    f.pass(1);
    assert.is(f.counters.BusiesIn, 1);
    f.pass(4);
    assert.is(f.view.error(id), undefined);
  }));
