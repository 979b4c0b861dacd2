/** ICMP errors about calls: closed ports end them at once, unreachable hosts when nothing else is heard, forged ones never. */
import { HostNic } from '../../host/nic/index.js';
import { type Records, RecordTable } from '../../host/transports/records.js';
import { checksum, packet } from '../support/packets.js';
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { homaFrame } from './packets.js';
import type { ClientSlot } from './slots.js';
import { ADDRESS, inWorld, PORT, type World, type WorldOptions } from './world.js';

const test = suite('homa: ICMP');
type Family = 4 | 6;
const CLOSED = { 4: [3, 3], 6: [1, 4] } as const;
const NO_HOMA = { 4: [3, 2], 6: [4, 1] } as const;
const UNREACHABLE = { 4: [3, 1], 6: [1, 3] } as const;
const LATER = { 4: [11, 0], 6: [3, 0] } as const;

/** A world whose wire takes nothing to the server, with a call under way, and a router that can say so. */
const cut = (
  family: Family,
  claim: (w: World, slot: ClientSlot, tell: (kind: readonly [number, number], more?: Quote) => void) => void,
  options: WorldOptions = {},
): Promise<void> => {
  const routers = [new HostNic({ name: 'router.a' }), new HostNic({ name: 'router.b' })] as const;
  return inWorld({ outside: routers, loss: 1, ...options }, w => {
    const slot = options.engine ? w.openIn(1) : w.open()[0];
    slot.call({ address: ADDRESS[family][1], port: PORT }, pattern(3000));
    w.run(() => false, 1);
    claim(w, slot, (kind, more) => {
      assert.ok(routers[0].send(about(w, slot, family, kind, more)));
      w.run(() => false, 0);
    });
  });
};

interface Quote {
  /** Of the packet that is quoted, where it is not the call's. */
  senderId?: bigint;
  sport?: number;
  dport?: number;
  to?: string;
  /** Bytes of it behind its IP header. */
  bytes?: number;
  broken?: boolean;
}

/** The error, as the router sends it. */
function about(
  w: World,
  { end }: ClientSlot,
  family: Family,
  [type, code]: readonly [number, number],
  q: Quote = {},
) {
  const ids = new RecordTable(w.engine.arena, (w.a.messages.shared as { rpcs: Records }).rpcs);
  const senderId = q.senderId ?? w.engine.arena.dv.getBigUint64(ids.at(end.id, 'id'), true);
  const [src, dst] = [ADDRESS[family][0], q.to ?? ADDRESS[family][1]];
  const { sport = w.client.port, dport = PORT } = q;
  const busy = homaFrame({ type: 'BUSY', sport, dport, senderId }, { src, dst });
  const header = family === 4 ? 34 : 54;
  const quoted = busy.slice(14, header + (q.bytes ?? 28));
  const from = family === 4 ? '10.0.0.77' : 'fd00::77';
  const frame = packet({ src: from, dst: src, protocol: 'icmp', type, code, payload: quoted });
  // `packet` writes an identifier where errors have nothing: the sum is made anew.
  frame.set([0, 0, 0, 0, 0, 0], header + 2);
  const l4 = frame.subarray(header);
  const pseudo =
    family === 4 ? [] : [...frame.subarray(22, 54), 0, 0, l4.length >> 8, l4.length & 255, 0, 0, 0, 58];
  const sum = checksum(Uint8Array.from(pseudo), l4) ^ (q.broken ? 1 : 0);
  frame.set([sum >> 8, sum & 255], header + 2);
  return frame;
}

for (const family of [4, 6] as const) {
  for (const [what, kind] of [
    ['a closed port', CLOSED],
    ['a host that has no Homa', NO_HOMA],
  ] as const)
    test(`IPv${family}: a call to ${what} ends in ECONNREFUSED at once`, () =>
      cut(family, (w, slot, tell) => {
        assert.not(slot.failed);
        tell(kind[family]);
        w.run(() => slot.failed, 0.1);
        assert.ok(slot.failed);
        assert.is(w.a.view.error(slot.end.id), 'ECONNREFUSED');
        assert.is(w.counters[0].ErrorsIn, 1);
      }));

  test(`IPv${family}: a call to a host that cannot be reached goes on for 100 ms, and ends in EHOSTUNREACH`, () =>
    cut(family, (w, slot, tell) => {
      tell(UNREACHABLE[family]);
      w.run(() => slot.failed, 50);
      assert.not(slot.failed);
      assert.ok(w.run(() => slot.failed, 100));
      assert.is(w.a.view.error(slot.end.id), 'EHOSTUNREACH');
    }));

  test(`IPv${family}: errors that quote no call under way, or are broken, or of another kind, change nothing`, () =>
    cut(family, (w, slot, tell) => {
      const { dv } = w.engine.arena;
      const ids = new RecordTable(w.engine.arena, (w.a.messages.shared as { rpcs: Records }).rpcs);
      const id = dv.getBigUint64(ids.at(slot.end.id, 'id'), true);
      for (const senderId of [id + (1n << 25n), id - (1n << 25n), id + 2n, id ^ 1n, 0n])
        tell(CLOSED[family], { senderId });
      tell(CLOSED[family], { sport: w.client.port ^ 1 });
      tell(CLOSED[family], { dport: PORT + 1 });
      tell(CLOSED[family], { to: family === 4 ? '10.0.0.9' : 'fd00::9' });
      tell(CLOSED[family], { bytes: 8 });
      tell(CLOSED[family], { bytes: 27 });
      tell(CLOSED[family], { broken: true });
      tell(LATER[family]);
      w.run(() => false, 10);
      assert.not(slot.failed);
      assert.is(w.counters[0].ErrorsIn ?? 0, 0);
      assert.ok(w.run(() => slot.failed, 200));
      assert.is(w.a.view.error(slot.end.id), 'ETIMEDOUT');
    }));
}

test('a call that its server has heard of is not refused by ICMP', () =>
  cut(
    4,
    (w, slot, tell) => {
      w.run(() => w.server.requests.length === 1);
      // Asked for its answer, the server says BUSY: it knows the call.
      w.run(() => false, 30);
      tell(CLOSED[4]);
      assert.is(w.counters[0].ErrorsIn, 1);
      w.run(() => false, 20);
      assert.not(slot.failed);
    },
    { loss: 0, answer: () => undefined },
  ));

test('an error that comes in at another lane is handed over', () =>
  cut(
    4,
    (w, slot, tell) => {
      tell(CLOSED[4]);
      w.run(() => slot.failed, 1);
      assert.is(w.a.view.error(slot.end.id), 'ECONNREFUSED');
    },
    { engine: { lanes: 2 } },
  ));
