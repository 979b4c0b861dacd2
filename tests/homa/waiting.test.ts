/** Messages that wait for grants: whose turn it is next, among many of few peers. */
import { assert, suite } from '../support/suite.js';
import { type Forged, forged } from './forged.js';

const test = suite('homa: waiting');
const UNASKED = 40_000;
const PART = 1400;
const ANSWER = { streams: 512, answer: () => new Uint8Array(8) };

/** The first packet of a message, or all of it that goes unasked. */
function begin(f: Forged, src: string, slot: number, bytes: number, upTo = PART): void {
  for (let offset = 0; offset < upTo; offset += PART) {
    const payload = new Uint8Array(Math.min(PART, upTo - offset));
    f.put(f.data(5n, slot, payload, { messageLength: bytes, incoming: UNASKED, offset }), { src });
    f.pass(0.001);
  }
}

/** Its client knows nothing of the call any more. */
function end(f: Forged, src: string, slot: number): void {
  f.put(f.control('RPC_UNKNOWN', 5n, slot), { src });
  f.pass(0.001);
}

/** Slots of peers that heard a GRANT since the last look. */
function granted(f: Forged): string[] {
  const names = f.out
    .splice(0)
    .flatMap(({ packet, to }) =>
      packet.type === 'GRANT' ? [`${to}/${Number((packet.senderId >> 1n) & 0xffffffn)}`] : [],
    );
  return [...new Set(names)];
}

for (const many of [30, 120])
  test(`${many} messages of one peer that wait hide nobody else’s`, () =>
    forged({ ...ANSWER, homa: { window: 5000, maxIncoming: 2 ** 30, fifoGrant: 0 } }, f => {
      const [crowd, other] = ['10.0.0.20', '10.0.0.21'];
      const seven = Array.from({ length: 7 }, (_, i) => `10.0.0.${30 + i}`);
      for (const src of seven) begin(f, src, 10, 60_000);
      for (let i = 0; i < many; i++) begin(f, crowd, 100 + i, 100_000);
      const count = f.word('homa_receivers', 0, 'count');
      assert.is(count.get(), 8);
      // More is left of it than of any of the others.
      begin(f, other, 400, 900_000, UNASKED);
      granted(f);
      for (const src of seven) end(f, src, 10);
      assert.equal(granted(f), [`${other}/400`]);
      assert.is(count.get(), 2);
    }));

test('of a peer’s messages the one with the fewest bytes left waits among others’, and the next when it is over', () =>
  forged({ ...ANSWER, homa: { overcommit: 1, window: 5000, fifoGrant: 0 } }, f => {
    const [first, peer, other] = ['10.0.0.20', '10.0.0.21', '10.0.0.22'];
    begin(f, first, 1, 60_000, UNASKED);
    for (const [slot, bytes] of [
      [10, 90_000],
      [11, 70_000],
      [12, 80_000],
    ])
      begin(f, peer, slot, bytes, UNASKED);
    begin(f, other, 20, 85_000, UNASKED);
    granted(f);
    end(f, peer, 11);
    const turns: string[][] = [];
    for (const [src, slot] of [
      [first, 1],
      [peer, 12],
      [other, 20],
      [peer, 10],
    ] as const) {
      end(f, src, slot);
      turns.push(granted(f));
    }
    assert.equal(turns, [[`${peer}/12`], [`${other}/20`], [`${peer}/10`], []]);
  }));
