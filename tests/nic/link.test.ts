import { Engine } from '../../host/engine/engine.js';
import { HostNic, type LinkSettings, type ModelOptions, modelLink } from '../../host/nic/index.js';
import { numberOf, udpFrame, verdict } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('nic: model link');

interface Arrival {
  number: number;
  atNs: bigint;
  data: Uint8Array;
}

/** Sends `n` packets from b, one every `gapNs`, and collects what the engine's host gets at a, in virtual time. */
async function send(
  options: ModelOptions,
  n: number,
  gapNs = 1000,
  make = (i: number) => udpFrame(0, 64, i),
) {
  const { a, b } = modelLink(options);
  const engine = await Engine.create({
    nics: [a],
    inline: true,
    clock: 'virtual',
    frames: 2048,
    mapBytes: 1 << 16,
    startNs: 0n,
  });
  await engine.start();
  const got: Arrival[] = [];
  const collect = (): void => {
    for (const p of engine.receive())
      got.push({ number: numberOf(p.data), atNs: engine.now(), data: p.data });
  };
  /** Runs until `untilNs`, stopping at each instant at which something falls due. */
  const runTo = (untilNs: bigint): void => {
    for (;;) {
      while (engine.step() !== 0);
      collect();
      const due = engine.nextDueNs();
      if (due === undefined || due > untilNs) break;
      engine.advance(due - engine.now());
    }
    if (untilNs > engine.now()) engine.advance(untilNs - engine.now());
  };
  for (let i = 0; i < n; i++) {
    runTo(BigInt(i * gapNs));
    assert.ok(b.send(make(i)), `packet ${i} found no room`);
  }
  runTo(BigInt(n * gapNs) + 60_000_000_000n);
  const stats = a.stats;
  const report = await engine.stop();
  assert.is(report.ledger.free, 2048);
  return { got, stats };
}

const numbers = (got: Arrival[]): number[] => got.map(g => g.number);
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
/** n·p ± 5 standard deviations: one run in 1.7 million falls outside, and the seed is fixed anyway. */
const near = (count: number, n: number, p: number): void => {
  const slack = 5 * Math.sqrt(n * p * (1 - p));
  assert.ok(Math.abs(count - n * p) <= slack, `${count} of ${n}, expected ${n * p} ± ${slack}`);
};

test('a plain link delivers everything at once, in order, unchanged', async () => {
  const { got, stats } = await send({}, 500);
  assert.equal(numbers(got), upTo(500));
  for (const g of got) {
    assert.is(g.atNs, BigInt(g.number * 1000));
    assert.equal(g.data, udpFrame(0, 64, g.number));
  }
  assert.equal([stats.taken, stats.delivered, stats.underWay], [500, 500, 0]);
});

test('a delay is kept to the nanosecond', async () => {
  const { got } = await send({ delayNs: 1_234_567 }, 300);
  assert.equal(numbers(got), upTo(300));
  for (const g of got) assert.is(g.atNs, BigInt(g.number * 1000 + 1_234_567));
});

test('a rate spaces packets: 1000 bytes at 1 Gbit/s take 8 µs each', async () => {
  const { got } = await send({ rate: 1e9 }, 100, 0, i => udpFrame(0, 1000, i));
  assert.equal(numbers(got), upTo(100));
  for (const g of got) assert.is(g.atNs, BigInt((g.number + 1) * 8000));
});

test('64 bytes at 100 Gbit/s take 5.12 ns: the wire does not round', async () => {
  const { got } = await send({ rate: 100e9 }, 1000, 0);
  assert.is(got.at(-1)!.atNs, 5120n);
});

test('a full buffer drops from its tail, and only then', async () => {
  const { got, stats } = await send({ rate: 1e9, queueBytes: 10_000 }, 50, 0, i => udpFrame(0, 1000, i));
  assert.equal(numbers(got), upTo(10));
  assert.is(stats.overflowed, 40);
  const slow = await send({ rate: 1e9, queueBytes: 10_000 }, 50, 8000, i => udpFrame(0, 1000, i));
  assert.is(slow.got.length, 50);
});

test('loss, duplication, reordering and corruption occur as often as asked', async () => {
  const n = 4000;
  for (const [setting, count] of [
    ['loss', 'lost'],
    ['duplicate', 'duplicated'],
    ['reorder', 'reordered'],
    ['corrupt', 'corrupted'],
  ] as const)
    for (const p of [0.01, 0.3]) {
      const { got, stats } = await send({ [setting]: p, delayNs: 5000, seed: 42 }, n);
      near(stats[count], n, p);
      assert.is(stats.taken, n);
      assert.is(got.length, n - stats.lost + stats.duplicated);
      if (setting === 'reorder') assert.not.equal(numbers(got), upTo(n));
      else
        assert.equal(
          numbers(got).filter((x, i, all) => setting !== 'corrupt' && x < (all[i - 1] ?? 0)),
          [],
        );
      if (setting !== 'corrupt') continue;
      let bits = 0;
      for (const [i, g] of got.entries()) {
        const sent = udpFrame(0, 64, i);
        for (let k = 0; k < 64; k++) for (let d = sent[k] ^ g.data[k]; d; d &= d - 1) bits++;
      }
      assert.is(bits, stats.corrupted, 'one bit in each corrupted packet, none elsewhere');
    }
});

test('a probability of 1 means every packet, of 0 none', async () => {
  assert.is((await send({ loss: 1 }, 100)).got.length, 0);
  assert.is((await send({ duplicate: 1 }, 100)).got.length, 200);
  const { stats } = await send({ loss: 0, corrupt: 0, delayNs: 1 }, 100);
  assert.equal([stats.lost, stats.corrupted], [0, 0]);
});

test('jitter stays within its bounds and reorders', async () => {
  const { got } = await send({ delayNs: 10_000, jitterNs: 20_000 }, 1000);
  const late = got.map(g => Number(g.atNs) - g.number * 1000 - 10_000);
  assert.ok(Math.min(...late) >= 0 && Math.max(...late) <= 20_000);
  assert.ok(Math.max(...late) > 19_000 && Math.min(...late) < 1000, 'the whole range is used');
  assert.not.equal(numbers(got), upTo(1000));
  assert.equal(
    numbers(got).sort((a, b) => a - b),
    upTo(1000),
  );
});

test('ECN-capable packets are marked CE above the threshold, with a right checksum; others are not', async () => {
  const ecn = (codepoint: number) => (i: number) => {
    const p = udpFrame(0, 1000, i);
    p[15] = codepoint;
    const dv = new DataView(p.buffer);
    dv.setUint16(24, 0);
    let sum = 0;
    for (let k = 14; k < 34; k += 2) sum += dv.getUint16(k);
    sum = (sum & 0xffff) + (sum >>> 16);
    dv.setUint16(24, ~sum & 0xffff);
    return p;
  };
  const settings: LinkSettings = { rate: 1e9, ecnBytes: 5000 };
  const marked = await send(settings, 20, 0, ecn(2));
  assert.equal(
    marked.got.map(g => g.data[15] & 3),
    upTo(20).map(i => (i < 5 ? 2 : 3)),
  );
  assert.is(marked.stats.marked, 15);
  for (const g of marked.got) {
    let sum = 0;
    for (let k = 14; k < 34; k += 2) sum += (g.data[k] << 8) | g.data[k + 1];
    assert.is((sum & 0xffff) + (sum >>> 16), 0xffff, 'IPv4 header checksum');
  }
  assert.is((await send(settings, 20, 0, ecn(0))).stats.marked, 0);
  const six = (i: number): Uint8Array => {
    const p = udpFrame(0, 1000, i);
    p.set([0x86, 0xdd, 0x60, 0x10], 12);
    return p;
  };
  const v6 = await send(settings, 20, 0, six);
  assert.is(v6.stats.marked, 15);
  assert.is(v6.got[19].data[15] & 0x30, 0x30);
});

test('the same seed gives the same arrivals, another seed others', async () => {
  const bad: ModelOptions = {
    rate: 1e9,
    delayNs: 3000,
    jitterNs: 9000,
    loss: 0.05,
    duplicate: 0.05,
    reorder: 0.1,
    corrupt: 0.05,
  };
  const flat = (r: { got: Arrival[] }) => r.got.map(g => `${g.atNs} ${Buffer.from(g.data).toString('hex')}`);
  const one = flat(await send({ ...bad, seed: 5 }, 1000));
  assert.equal(flat(await send({ ...bad, seed: 5 }, 1000)), one);
  assert.not.equal(flat(await send({ ...bad, seed: 6 }, 1000)), one);
});

test('both ends may belong to the engine: a reflector at one end, the host at neither', async () => {
  const { a, b } = modelLink({ delayNs: 1000 });
  const engine = await Engine.create({
    nics: [a, b],
    inline: true,
    clock: 'virtual',
    frames: 256,
    mapBytes: 4096,
  });
  engine.attach(await engine.load(verdict(3)), b.name);
  await engine.start();
  const from = engine.now();
  for (let i = 0; i < 10; i++) a.send(udpFrame(0, 64, i));
  engine.run();
  assert.is(engine.now() - from, 2000n);
  assert.equal(
    engine.receive().map(p => [p.ifindex, numberOf(p.data)]),
    upTo(10).map(i => [1, i]),
  );
  assert.throws(
    () => b.receive(),
    (e: { code: string }) => e.code === 'ERR_NIC_OWNED',
  );
  await engine.stop();
});

test('several queues: every packet of a flow, in both directions, reaches the same queue, and all queues are used', async () => {
  const { a, b } = modelLink({ queues: 4 });
  const engine = await Engine.create({ nics: [a], lanes: 4, inline: true, frames: 2048, mapBytes: 4096 });
  await engine.start();
  const queueOf = new Map<number, number>();
  for (let i = 0; i < 512; i++) {
    const p = udpFrame(i % 128, 64, i);
    if (i & 1) {
      // The way back: addresses and ports exchanged.
      const q = p.slice();
      q.set(p.subarray(26, 30), 30);
      q.set(p.subarray(30, 34), 26);
      q.set(p.subarray(34, 36), 36);
      q.set(p.subarray(36, 38), 34);
      p.set(q);
    }
    while (!b.send(p)) engine.run();
    b.send(udpFrame(i % 128, 64, i));
  }
  engine.run();
  let n = 0;
  for (const p of engine.receive()) {
    const flow = numberOf(p.data) % 128;
    assert.is(queueOf.get(flow) ?? p.queue, p.queue, `flow ${flow}`);
    queueOf.set(flow, p.queue);
    n++;
  }
  assert.is(n, 1024);
  assert.is(new Set(queueOf.values()).size, 4);
  await engine.stop();
});

test('in real time a delayed packet comes when it is due, and waiting for it takes no steps', async () => {
  const { a, b } = modelLink({ delayNs: 20_000_000 });
  const engine = await Engine.create({ nics: [a], inline: true, frames: 64, mapBytes: 4096 });
  await engine.start();
  const from = engine.now();
  b.send(udpFrame(0, 64, 1));
  const steps = engine.run();
  assert.is(engine.receive().length, 1);
  assert.ok(engine.now() - from >= 20_000_000n);
  assert.ok(steps < 5000, `${steps} steps`);
  await engine.stop();
});

test('settings that cannot be are refused with a code', async () => {
  for (const bad of [{ loss: 2 }, { corrupt: -1 }, { delayNs: 1.5 }, { queueBytes: 1000 }, { rate: -1 }]) {
    let code: string | undefined;
    await Engine.create({ nics: [modelLink(bad).a], inline: true, frames: 16, mapBytes: 4096 }).catch(
      (e: { code: string }) => (code = e.code),
    );
    assert.is(code, 'ERR_LINK_OPTIONS', JSON.stringify(bad));
  }
});

test('what cannot be sent is refused alike by every end that the host sends from', async () => {
  const { a, b } = modelLink();
  const host = new HostNic();
  const engine = await Engine.create({ nics: [a, host], inline: true, frames: 64, mapBytes: 1 << 16 });
  const codeOf = (send: () => unknown): string => {
    try {
      send();
    } catch (e) {
      return (e as { code: string }).code;
    }
    return 'none';
  };
  await engine.start();
  for (const end of [a, b, host])
    for (const bytes of [new Uint8Array(5000), 'text', null, undefined, [1, 2]])
      assert.is(
        codeOf(() => end.send(bytes as never)),
        'ERR_NIC_PACKET',
        end.name,
      );
  await engine.stop();
  for (const end of [a, b, host])
    assert.is(
      codeOf(() => end.send(new Uint8Array(64))),
      'ERR_NIC_CLOSED',
      end.name,
    );
});
