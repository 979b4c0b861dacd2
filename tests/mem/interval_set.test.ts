/** Sets of ranges modulo 2^32 against a model that knows every position. */
import fc from 'fast-check';
import { EL_INTERVALS, IntervalsLayout } from '../../host/layout/layout.gen.js';
import { Bench } from '../support/core.js';
import { random } from '../support/random.js';
import { assert, suite } from '../support/suite.js';

const test = suite('mem: interval set');

const EINVAL = -22;
const ENOSPC = -28;

/** One set in memory, with a guard behind it. */
class Set32 {
  readonly b = new Bench();
  readonly at = this.b.at;
  readonly #out = this.b.at + 4096;

  constructor() {
    this.b.arena.u8.fill(0xa5, this.at + IntervalsLayout.size, this.at + IntervalsLayout.size + 64);
    this.b.arena.u8.fill(0xa5, this.#out + 8, this.#out + 64);
  }

  add = (from: number, to: number): number => this.b.core.el_intervals_add(this.at, from, to);
  trim = (upto: number): number => this.b.core.el_intervals_trim(this.at, upto) >>> 0;

  #range(n: number): [number, number] | undefined {
    return n > 0 ? [this.b.arena.u32[this.#out >> 2], this.b.arena.u32[(this.#out >> 2) + 1]] : undefined;
  }

  hole = (from: number, to: number) =>
    this.#range(this.b.core.el_intervals_next_hole(this.at, from, to, this.#out));
  overlap = (from: number, to: number) =>
    this.#range(this.b.core.el_intervals_overlap(this.at, from, to, this.#out));
  recent = (n: number) => this.#range(this.b.core.el_intervals_recent(this.at, n, this.#out));

  get count(): number {
    return this.b.arena.u32[this.at >> 2];
  }
  get bytes(): number {
    return this.b.arena.u32[(this.at >> 2) + 1];
  }
  get ranges(): [number, number][] {
    const w = (this.at + IntervalsLayout.ranges) >> 2;
    return Array.from({ length: this.count }, (_, i) => [
      this.b.arena.u32[w + 2 * i],
      this.b.arena.u32[w + 2 * i + 1],
    ]);
  }
  /** The SACK blocks in their order. */
  get blocks(): ([number, number] | undefined)[] {
    return Array.from({ length: this.count }, (_, i) => this.recent(i));
  }
  get guarded(): boolean {
    const { u8 } = this.b.arena;
    const end = this.at + IntervalsLayout.size;
    return (
      u8.subarray(end, end + 64).every(v => v === 0xa5) &&
      u8.subarray(this.#out + 8, this.#out + 64).every(v => v === 0xa5)
    );
  }
}

/** Knows every position of a window that begins at `base`. */
class Model {
  readonly has = new Set<number>();
  /** Ranges as they were last changed, newest first, by any position in them. */
  recent: number[] = [];
  constructor(readonly base: number) {}

  ranges(): [number, number][] {
    const all = [...this.has].sort((a, b) => a - b);
    const out: [number, number][] = [];
    for (const p of all) {
      const last = out[out.length - 1];
      if (last && last[1] === p) last[1] = p + 1;
      else out.push([p, p + 1]);
    }
    return out;
  }

  add(from: number, to: number): boolean {
    const before = new Set(this.has);
    for (let p = from; p < to; p++) this.has.add(p);
    if (this.ranges().length > EL_INTERVALS) {
      this.has.clear();
      for (const p of before) this.has.add(p);
      return false;
    }
    this.recent = [from, ...this.recent];
    return true;
  }

  trim(upto: number): number {
    for (const p of [...this.has]) if (p < upto) this.has.delete(p);
    let n = 0;
    while (this.has.delete(upto + n)) n++;
    return n;
  }

  /** Ranges, the one that was changed last first. */
  blocks(): [number, number][] {
    const ranges = this.ranges();
    const out: [number, number][] = [];
    for (const p of this.recent) {
      const r = ranges.find(([a, b]) => p >= a && p < b);
      if (r && !out.includes(r)) out.push(r);
    }
    return out;
  }
}

const wrap = (base: number, p: number): number => (base + p) >>> 0;

test('any order of additions and trims gives the ranges, sums, holes, overlaps and SACK blocks of the model', () => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.tuple(fc.constant('add'), fc.nat(300), fc.integer({ min: 1, max: 12 })) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('trim'), fc.nat(60), fc.constant(0)) },
  );
  const bases = fc.oneof(
    fc.constantFrom(0, 0xffffff80, 0x7fffff80, 0xffffffff),
    fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  );
  const s = new Set32();
  fc.assert(
    fc.property(
      bases,
      fc.array(step, { minLength: 1, maxLength: 120 }),
      fc.nat(300),
      fc.nat(300),
      (base, steps, a, b) => {
        s.b.arena.u8.fill(0, s.at, s.at + IntervalsLayout.size);
        const model = new Model(base);
        let low = 0;
        for (const [what, p, n] of steps as [string, number, number][])
          if (what === 'add') {
            const from = low + p;
            const took = model.add(from, from + n);
            const index = s.add(wrap(base, from), wrap(base, from + n));
            if (!took) assert.is(index, ENOSPC);
            else {
              const [x, y] = model.ranges()[index];
              assert.ok(x <= from && from + n <= y);
            }
          } else {
            low += p;
            const whole = s.trim(wrap(base, low));
            assert.is(whole, model.trim(low));
            low += whole;
          }
        const out = (r: [number, number]): [number, number] => [wrap(base, r[0]), wrap(base, r[1])];
        assert.equal(s.ranges, model.ranges().map(out));
        assert.is(s.bytes, model.has.size);
        assert.equal(s.blocks, model.blocks().map(out));
        const [from, to] = [Math.min(a, b), Math.max(a, b) + 1];
        const first = (inside: boolean): [number, number] | undefined => {
          let x = from;
          while (x < to && model.has.has(x) !== inside) x++;
          if (x === to) return undefined;
          let y = x;
          while (y < to && model.has.has(y) === inside) y++;
          return out([x, y]);
        };
        assert.equal(s.hole(wrap(base, from), wrap(base, to)), first(false));
        assert.equal(s.overlap(wrap(base, from), wrap(base, to)), first(true));
        assert.ok(s.guarded);
      },
    ),
    { numRuns: 1500 },
  );
});

test('the blocks of RFC 2018, example of §4: every second segment lost, the first block holds the newest', () => {
  const s = new Set32();
  for (const from of [5500, 6500, 7500, 8500]) s.add(from, from + 500);
  assert.equal(s.blocks, [
    [8500, 9000],
    [7500, 8000],
    [6500, 7000],
    [5500, 6000],
  ]);
  s.add(6000, 6500);
  assert.equal(s.blocks[0], [5500, 7000]);
});

test('a duplicate segment shows the part that was there (RFC 2883 §4)', () => {
  const s = new Set32();
  s.add(4000, 4500);
  assert.equal(s.overlap(4000, 4500), [4000, 4500]);
  assert.equal(s.overlap(3500, 4200), [4000, 4200]);
  assert.is(s.overlap(3500, 4000), undefined);
});

test('a range that is none, or farther than 2^31, is refused', () => {
  const s = new Set32();
  for (const [from, to] of [
    [5, 5],
    [6, 5],
    [0, 0x80000000],
    [0, 0xffffffff],
  ])
    assert.is(s.add(from, to), EINVAL, `${from} ${to}`);
  assert.ok(s.add(1000, 2000) >= 0);
  assert.is(s.add(0x80000300, 0x80000500), EINVAL, 'the set would span too much, on either side');
  assert.ok(s.add(0x7ffffff0, 0x80000000) >= 0);
  assert.is(s.count, 2);
});

test('whatever a program writes into a set, calls end, stay inside, and leave a set', () => {
  const s = new Set32();
  const next = random(7);
  const values = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 31, 32, 33, 1000];
  const value = (): number => (next() % 3 ? next() : values[next() % values.length]);
  for (let round = 0; round < 20_000; round++) {
    const words = IntervalsLayout.size / 4;
    if (round % 4 === 0)
      for (let i = 0; i < words; i++)
        s.b.arena.u32[(s.at >> 2) + i] = i === 0 && next() % 2 ? next() % 40 : value();
    const r = s.add(value(), value());
    assert.ok(r < EL_INTERVALS);
    s.trim(value());
    s.hole(value(), value());
    s.overlap(value(), value());
    s.recent(value());
    assert.ok(s.guarded, `round ${round}`);
    if (r >= 0) assert.ok(s.count <= EL_INTERVALS);
  }
});
