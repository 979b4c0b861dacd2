/** Homa's workloads: the tables say what was published, drawn messages follow them, and slowdowns are counted right. */
import { Arrivals, Uniform } from '../../host/apps/workloads/arrivals.js';
import { CDF } from '../../host/apps/workloads/cdf.js';
import { bestUs, binsOf, homaFrames, percentile, Slowdowns } from '../../host/apps/workloads/slowdown.js';
import { type WorkloadName, workload } from '../../host/apps/workloads/workload.js';
import { Network } from '../../host/sim/index.js';
import { assert, suite } from '../support/suite.js';

const test = suite('apps: workloads');

/** Points, mean, cp_node's mean, p10, p50, p90, p99, longest; bytes ≤ 1400 B, ≤ 60 kB, messages ≤ 1400 B; points of cp_node. */
const PUBLISHED: Record<WorkloadName, readonly number[]> = {
  w1: [300, 189.2, 192.8, 8, 27, 503, 1876, 100_000, 0.7542, 0.9996, 0.981, 156],
  w2: [152, 441.6, 440.8, 8, 269, 512, 3151, 3_529_904, 0.5559, 0.7822, 0.9696, 95],
  w3: [842, 2927.7, 2567.7, 36, 268, 1755, 31_013, 15_158_197, 0.0818, 0.341, 0.886, 113],
  w4: [460, 127_796.6, 61_008.1, 315, 662, 120_373, 3_430_822, 10_000_000, 0.0027, 0.0416, 0.6383, 225],
  w5: [400, 2_564_689.7, 386_161.4, 5720, 72_030, 4_899_510, 27_440_490, 29_400_000, 0, 0.004, 0, 109],
  starve: [10, 526_315.8, 526_315.8, 100_000, 500_000, 900_000, 1_000_000, 1_000_000, 0, 0, 0, 10],
};
const NAMES = Object.keys(CDF) as WorkloadName[];
const near = (a: number, b: number, relative: number): boolean => Math.abs(a - b) <= relative * Math.abs(b);

test('the tables: ascending, complete, with the means, percentiles and shares that were published', () => {
  for (const name of NAMES) {
    const [points, mean, cpMean, p10, p50, p90, p99, longest, b1400, b60k, m1400, cpPoints] = PUBLISHED[name];
    const w = workload(name);
    const cp = workload(name, true);
    for (const { lengths, shares } of [w, cp]) {
      for (let i = 1; i < lengths.length; i++)
        // cp_node's shares have six digits: its rarest lengths have none, and are not drawn.
        assert.ok(
          lengths[i] > lengths[i - 1] &&
            (shares[i] > shares[i - 1] || (shares === cp.shares && shares[i] > 0.99)),
          `${name} at ${i}`,
        );
      assert.is(shares.at(-1), 1);
    }
    assert.equal([w.lengths.length, cp.lengths.length], [points, cpPoints], name);
    assert.ok(near(w.mean, mean, 3e-4), `${name}: mean ${w.mean}`);
    assert.ok(near(cp.mean, cpMean, 3e-4), `${name}: mean of cp_node ${cp.mean}`);
    assert.equal(
      [0.1, 0.5, 0.9, 0.99, 1].map(p => w.quantile(p)),
      [p10, p50, p90, p99, longest],
      name,
    );
    const shares = [w.byteShareUpTo(1400), w.byteShareUpTo(60_000), w.shareUpTo(1400)];
    for (const [i, s] of shares.entries())
      assert.ok(Math.abs(s - [b1400, b60k, m1400][i]) < 1e-4, `${name} ${i}`);
    assert.ok(cp.lengths.at(-1)! <= 1_000_000);
  }
});

test('every length is drawn exactly for the numbers between its neighbours', () => {
  for (const name of NAMES) {
    const { lengths, shares } = workload(name);
    const w = workload(name);
    for (let i = 0; i < lengths.length; i++) {
      assert.is(w.quantile(shares[i]), lengths[i]);
      assert.is(w.shareUpTo(lengths[i]), shares[i]);
      if (i) assert.is(w.quantile(shares[i - 1] + 1e-12), lengths[i]);
    }
    assert.is(w.quantile(0), lengths[0]);
  }
});

test('limited: what is longer is as long as that, the rest unchanged', () => {
  const w = workload('w5').limited(1_000_000);
  assert.is(w.lengths.at(-1), 1_000_000);
  assert.is(w.shareUpTo(72_030), workload('w5').shareUpTo(72_030));
  assert.ok(
    near(
      w.mean,
      workload('w5').meanOf(b => Math.min(b, 1_000_000)),
      1e-9,
    ),
  );
  assert.is(workload('w1').limited(1_000_000), workload('w1'));
});

test('drawn messages follow the distribution: the largest distance is what chance allows (Kolmogorov and Smirnov)', () => {
  const n = 100_000;
  for (const name of NAMES) {
    const w = workload(name);
    const arrivals = new Arrivals({ workload: w, rate: 1e10, load: 0.8, seed: 11 });
    const counts = new Map<number, number>();
    for (let i = 0; i < n; i++) {
      const { bytes } = arrivals.next();
      counts.set(bytes, (counts.get(bytes) ?? 0) + 1);
    }
    let [below, worst] = [0, 0];
    for (const [i, length] of w.lengths.entries()) {
      below += counts.get(length) ?? 0;
      counts.delete(length);
      worst = Math.max(worst, Math.abs(below / n - w.shares[i]));
    }
    assert.is(counts.size, 0, 'no length that is not in the table');
    // Exceeded by one seed in 10,000.
    assert.ok(worst < 2.23 / Math.sqrt(n), `${name}: ${worst}`);
  }
});

test('gaps are exponential, and the load is what was asked for', () => {
  const n = 200_000;
  const w = workload('w2');
  for (const load of [0.1, 0.8]) {
    const arrivals = new Arrivals({ workload: w, rate: 25e9, load, seed: 3 });
    let [last, sum, squares, bytes] = [0, 0, 0, 0];
    let short = 0;
    for (let i = 0; i < n; i++) {
      const a = arrivals.next();
      const gap = a.atNs - last;
      last = a.atNs;
      sum += gap;
      squares += gap * gap;
      bytes += a.bytes;
      if (gap < arrivals.meanGapNs * Math.LN2) short++;
    }
    const mean = sum / n;
    assert.ok(near(mean, (w.mean * 8e9) / (25e9 * load), 0.015));
    assert.ok(near(Math.sqrt(squares / n - mean * mean), mean, 0.02), 'as wide as its mean');
    assert.ok(near(short / n, 0.5, 0.01), 'the median is ln 2 of the mean');
    assert.ok(near((bytes * 8) / last, 25 * load, 0.15), `${(bytes * 8) / last} Gbit/s`);
  }
  const wire = (b: number): number => homaFrames(b, { mtu: 1500, family: 4 }).reduce((x, y) => x + y, 0);
  const counted = new Arrivals({ workload: w, rate: 25e9, load: 0.8, seed: 3, wireBytes: wire });
  assert.ok(near(counted.meanGapNs, (w.meanOf(wire) * 8) / 20, 1e-9));
});

test('the same seed gives the same messages, another one others; no peer is oneself, and all are met', () => {
  const make = (seed: number): string => {
    const a = new Arrivals({ workload: workload('w3'), rate: 1e10, load: 0.5, seed });
    return JSON.stringify(Array.from({ length: 50 }, () => [a.next(), a.peer(8, 3)]));
  };
  assert.is(make(1), make(1));
  assert.not.equal(make(1), make(2));
  const a = new Arrivals({ workload: workload(100), rate: 1e10, load: 0.5, seed: 1 });
  const met = new Set(Array.from({ length: 500 }, () => a.peer(8, 3)));
  assert.equal([...met].sort(), [0, 1, 2, 4, 5, 6, 7]);
});

test('uniform numbers are uniform: 64 boxes, chi squared', () => {
  const n = 640_000;
  const boxes = new Array<number>(64).fill(0);
  const u = new Uniform(77);
  for (let i = 0; i < n; i++) boxes[Math.floor(u.next() * 64)]++;
  const chi = boxes.reduce((x, b) => x + (b - n / 64) ** 2 / (n / 64), 0);
  // 63 degrees: 0.01 % and 99.99 %.
  assert.ok(chi > 27 && chi < 113, `${chi}`);
});

test('the best possible time: as cperf.py has it, and exactly for a path', () => {
  assert.is(bestUs(1000, { rttUs: 15, mbps: 8000 }), 16);
  const frames = homaFrames(2900, { mtu: 1500, family: 4 });
  assert.equal(frames, [1514, 1514, 142]);
  assert.equal(homaFrames(0, { mtu: 1500, family: 6 }), [110]);
  const net = new Network({ racks: 2, hostsPerRack: 2 });
  const [h0, h1, , h3] = net.hosts;
  // 1514 B at 10 Gbit/s are 1211.2 ns, 142 B 113.6; two lines of 500 ns.
  assert.is(net.unloadedNs(h0, h1, homaFrames(86, { mtu: 1500, family: 4 })), 2 * 141 + 1000);
  assert.ok(net.unloadedNs(h0, h3, frames) > net.unloadedNs(h0, h1, frames));
});

test('percentiles are of nearest rank', () => {
  const ten = Float64Array.from({ length: 10 }, (_, i) => i + 1);
  assert.equal(
    [0, 0.1, 0.5, 0.51, 0.99, 1].map(p => percentile(ten, p)),
    [1, 1, 5, 6, 10, 10],
  );
  assert.is(
    percentile(
      Float64Array.from({ length: 1000 }, (_, i) => i),
      0.999,
    ),
    998,
  );
  assert.ok(Number.isNaN(percentile([], 0.5)));
});

test('bins hold equally many messages, whatever lengths are frequent; slowdowns fall into them', () => {
  for (const name of NAMES) {
    const w = workload(name);
    const bins = binsOf(w, 10);
    assert.is(bins[0].from, 0);
    assert.equal([bins.at(-1)!.to, bins.at(-1)!.share], [w.lengths.at(-1), 1]);
    for (const [i, b] of bins.entries()) {
      if (i) assert.is(b.from, bins[i - 1].to);
      const held = w.shareUpTo(b.to) - (i ? w.shareUpTo(b.from) : 0);
      // More than a tenth only by the share of one length.
      const most = 0.1 + (w.shareUpTo(b.to) - w.shareUpTo(b.to - 1));
      assert.ok(held <= most + 1e-9, `${name} bin ${i}: ${held}`);
    }
  }
  const s = new Slowdowns(binsOf(workload('w3'), 10));
  for (let i = 1; i <= 1000; i++) s.add(36, i, 1);
  s.add(1e9, 6, 3);
  const got = s.results();
  assert.equal(
    got.map(b => [b.count, b.p50, b.p99, b.p999]),
    [
      [1000, 500, 990, 999],
      [1, 2, 2, 2],
    ],
  );
  assert.is(s.count, 1001);
});

test('workloads that are none are refused with a code', () => {
  for (const bad of ['w6', 'constructor', '', '0', '1000001', '-1', '1e3'])
    assert.throws(
      () => workload(bad),
      (e: { code: string }) => e.code === 'ERR_WORKLOAD',
      bad,
    );
  assert.is(workload('512').mean, 512);
  for (const load of [0, 1.1, Number.NaN])
    assert.throws(
      () => new Arrivals({ workload: workload(1), rate: 1e9, load, seed: 1 }),
      (e: { code: string }) => e.code === 'ERR_WORKLOAD',
    );
});
