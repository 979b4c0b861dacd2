/** Round-trip times by RFC 6298, and SipHash by its authors' vectors. */
import { ARENA_HEADER_AT, ArenaHeaderLayout, RttLayout, RttView } from '../../host/layout/layout.gen.js';
import { Bench } from '../support/core.js';
import { random } from '../support/random.js';
import { assert, suite } from '../support/suite.js';

const test = suite('stream: arithmetic');

class Rtt {
  readonly b = new Bench();
  readonly v = new RttView(this.b.arena.dv, this.b.at);
  nowUs = 1_000_000;

  constructor(start: Partial<Record<keyof RttView, number>> = {}) {
    this.b.arena.u8.fill(0, this.b.at, this.b.at + RttLayout.size);
    Object.assign(this.v, start);
  }

  sample(us: number, afterUs = 0): number {
    this.nowUs += afterUs;
    this.b.core.clock_set(BigInt(this.nowUs) * 1000n);
    return this.b.core.el_rtt_sample(this.b.at, us) >>> 0;
  }

  backoff(): number {
    return this.b.core.el_rtt_backoff(this.b.at) >>> 0;
  }
}

test('the first sample sets srtt = R, rttvar = R/2, rto = R + 4 · R/2 (RFC 6298 §2.2)', () => {
  const r = new Rtt({ rtoMin: 1 });
  assert.is(r.sample(80_000), 240_000);
  assert.equal([r.v.srtt, r.v.rttvar, r.v.rto, r.v.samples], [80_000, 40_000, 240_000, 1]);
});

test('further samples weigh 1/8 and 1/4 (§2.3)', () => {
  const r = new Rtt({ rtoMin: 1 });
  let srtt = 100_000;
  let rttvar = 50_000;
  r.sample(100_000);
  const next = random(3);
  for (let i = 0; i < 1000; i++) {
    const us = 20_000 + (next() % 300_000);
    rttvar += (Math.abs(srtt - us) - rttvar) / 4;
    srtt += (us - srtt) / 8;
    r.sample(us);
    assert.ok(Math.abs(r.v.srtt - srtt) <= 2, `srtt ${r.v.srtt} is ${srtt}`);
    assert.ok(Math.abs(r.v.rttvar - rttvar) <= 4, `rttvar ${r.v.rttvar} is ${rttvar}`);
    assert.ok(Math.abs(r.v.rto - (r.v.srtt + 4 * r.v.rttvar)) <= 4);
  }
});

test('a path of 3 µs is measured as one', () => {
  const r = new Rtt({ rtoMin: 5 });
  for (let i = 0; i < 200; i++) r.sample(3);
  assert.equal([r.v.srtt, r.v.rttvar], [3, 0]);
  assert.ok(r.v.rto <= 6, `rto ${r.v.rto}`);
});

test('rto is 1 s before the first sample, and stays between its bounds', () => {
  assert.is(new Rtt().backoff(), 2_000_000, 'doubled by the first timeout');
  const r = new Rtt();
  assert.is(r.sample(100), 200_000, 'the default least');
  assert.is(new Rtt({ rtoMin: 1_000_000 }).sample(100), 1_000_000);
  assert.is(new Rtt({ rtoMax: 60_000_000 }).sample(50_000_000), 60_000_000);
});

test('each timeout doubles rto up to its bound, a sample ends that (§5.5, §5.7)', () => {
  const r = new Rtt({ rtoMax: 3_000_000 });
  r.sample(100);
  assert.equal(
    Array.from({ length: 6 }, () => r.backoff()),
    [400_000, 800_000, 1_600_000, 3_000_000, 3_000_000, 3_000_000],
  );
  assert.is(r.v.backoff, 6);
  assert.is(r.sample(100), 200_000);
  assert.is(r.v.backoff, 0);
});

test('the least sample of the window is remembered, and forgotten after it', () => {
  const r = new Rtt({ minWindow: 1_000_000 });
  r.sample(500);
  r.sample(300, 100_000);
  r.sample(400, 300_000);
  r.sample(450, 300_000);
  assert.is(r.v.minRtt, 300);
  r.sample(600, 300_000);
  assert.is(r.v.minRtt, 300, '0.9 s after it');
  r.sample(600, 200_000);
  assert.is(r.v.minRtt, 400, 'the second best steps in');
  r.sample(600, 5_000_000);
  assert.is(r.v.minRtt, 600, 'after a pause longer than the window all are forgotten');
});

test('the window goes on when the clock of µs begins anew', () => {
  const r = new Rtt({ minWindow: 1_000_000 });
  r.nowUs = 2 ** 32 - 500_000;
  r.sample(300);
  r.sample(400, 400_000);
  r.sample(500, 400_000);
  assert.is(r.v.minRtt, 300);
  r.sample(500, 400_000);
  assert.is(r.v.minRtt, 400);
});

test('whatever a program writes into the structure, rto stays between its bounds', () => {
  const r = new Rtt();
  const next = random(5);
  for (let round = 0; round < 20_000; round++) {
    for (let i = 0; i < RttLayout.size / 4; i++) r.b.arena.u32[(r.b.at >> 2) + i] = next() >>> (next() % 32);
    const { rtoMin, rtoMax } = r.v;
    const most = rtoMax || 120_000_000;
    const rto = next() % 2 ? r.sample(next()) : r.backoff();
    assert.ok(rto <= most && rto >= Math.min(most, rtoMin || 200_000), `rto ${rto} of ${rtoMin} … ${rtoMax}`);
  }
});

test('SipHash-2-4 gives the vectors of its authors', () => {
  const b = new Bench();
  const key = new Uint8Array(b.arena.memory.buffer, ARENA_HEADER_AT + ArenaHeaderLayout.hashKey, 16);
  for (let i = 0; i < 16; i++) key[i] = i;
  const input = b.put(Uint8Array.from({ length: 64 }, (_, i) => i));
  const hash = (n: number): string =>
    BigInt.asUintN(64, b.core.el_siphash(input, n)).toString(16).padStart(16, '0');
  // Appendix A of the paper, and vectors_sip64 of the reference implementation read as little-endian numbers.
  assert.is(hash(15), 'a129ca6149be45e5');
  assert.is(hash(0), '726fdb47dd0e0e31');
  assert.is(hash(1), '74f839c593dc67fd');
  assert.is(hash(7), 'ab0200f58b01d137');
  assert.is(hash(8), '93f5f5799a932462');
  assert.is(hash(63), '958a324ceb064572');
});
