/** Strict priority before the wire of a model link: who leaves first, what it costs the others, and that nothing is lost track of. */
import { Engine } from '../../host/engine/engine.js';
import { type LinkSettings, type LinkStats, type ModelOptions, modelLink } from '../../host/nic/index.js';
import { numberOf, udpFrame } from '../support/programs.js';
import { random as draws } from '../support/random.js';
import { assert, suite } from '../support/suite.js';

const test = suite('nic: priorities of a link');
const FRAMES = 4096;

/** Numbers from 0 to 1. */
const unit = (seed: number): (() => number) => {
  const next = draws(seed);
  return () => next() / 2 ** 32;
};

interface Sent {
  atNs: number;
  /** Priority 0 … 7. */
  priority: number;
  bytes?: number;
}

interface Arrival {
  number: number;
  atNs: number;
  data: Uint8Array;
}

/** An IPv4 packet whose DSCP selects the class. */
function byDscp(priority: number, bytes: number, number: number): Uint8Array {
  const p = udpFrame(0, bytes, number);
  p[15] = (priority << 5) | 2;
  // RFC 1624: the checksum loses what the field gained.
  const dv = new DataView(p.buffer);
  let sum = dv.getUint16(24) + (0xffff - p[15]);
  sum = (sum & 0xffff) + (sum >>> 16);
  dv.setUint16(24, sum);
  return p;
}

/** The same with an 802.1Q tag whose priority contradicts the DSCP: the tag counts. */
function byTag(priority: number, bytes: number, number: number): Uint8Array {
  const inner = byDscp(7 - priority, bytes - 4, number);
  const p = new Uint8Array(bytes);
  p.set(inner.subarray(0, 12));
  p.set([0x81, 0x00, priority << 5, 0], 12);
  p.set(inner.subarray(12), 16);
  return p;
}

/** Sends from the far side at given times, in virtual time; asserts the ledger. `stopAtNs`: the engine is stopped then. */
async function send(
  options: ModelOptions,
  sent: Sent[],
  make = byDscp,
  stopAtNs?: number,
): Promise<{ got: Arrival[]; stats: LinkStats }> {
  const { a, b } = modelLink(options);
  const engine = await Engine.create({
    nics: [a],
    inline: true,
    clock: 'virtual',
    startNs: 0n,
    frames: FRAMES,
    mapBytes: 4096,
  });
  await engine.start();
  const got: Arrival[] = [];
  const runTo = (untilNs: number): void => {
    for (;;) {
      while (engine.step() !== 0);
      for (const p of engine.receive())
        got.push({ number: numberOf(p.data), atNs: Number(engine.now()), data: p.data });
      const due = engine.nextDueNs();
      if (due === undefined || due > BigInt(untilNs)) break;
      engine.advance(due - engine.now());
    }
    if (BigInt(untilNs) > engine.now()) engine.advance(BigInt(untilNs) - engine.now());
  };
  for (const [i, s] of sent.entries()) {
    // Who is sent at once meets the link at once.
    if (s.atNs > Number(engine.now())) runTo(s.atNs);
    assert.ok(b.send(make(s.priority, s.bytes ?? 1000, i)), `packet ${i} found no room`);
  }
  runTo(stopAtNs ?? 60_000_000_000);
  const { stats } = a;
  const report = await engine.stop();
  const free = FRAMES - stats.underWay;
  assert.is(report.ledger.free, free, 'free and under way are all frames');
  return { got, stats };
}

const numbers = (got: Arrival[]): number[] => got.map(g => g.number);
const GIGABIT: LinkSettings = { rate: 1e9, priorities: 8 };

for (const [name, make] of [
  ['DSCP', byDscp],
  ['802.1p', byTag],
] as const)
  test(`${name}: of what waits, the highest class leaves first, and each class in its own order`, async () => {
    const sent = [3, 0, 7, 5, 0, 7, 1, 6, 3, 2, 4].map(priority => ({ atNs: 0, priority }));
    const { got, stats } = await send(GIGABIT, sent, make);
    assert.equal(numbers(got), [2, 5, 7, 3, 10, 0, 8, 9, 6, 1, 4]);
    assert.equal(
      got.map(g => g.atNs),
      got.map((_, i) => (i + 1) * 8000),
      'the wire is never idle',
    );
    assert.equal(
      stats.queues.map(q => q.sent),
      [2, 1, 1, 2, 1, 1, 1, 2],
    );
  });

test('a frame under way is not interrupted: the urgent one comes next', async () => {
  const { got } = await send(GIGABIT, [
    { atNs: 0, priority: 0 },
    { atNs: 0, priority: 0 },
    { atNs: 1, priority: 7, bytes: 100 },
    { atNs: 8001, priority: 7, bytes: 100 },
  ]);
  assert.equal(
    got.map(g => [g.number, g.atNs]),
    [
      [0, 8000],
      [2, 8800],
      [3, 9600],
      [1, 17_600],
    ],
  );
});

test('whoever had the wire to itself before the urgent one came keeps it, to the picosecond', async () => {
  // At 3 Gbit/s the wire is free again within a nanosecond: at 170.666 ns the second began, before 171.
  const { got } = await send({ rate: 3e9, priorities: 8 }, [
    { atNs: 0, priority: 0, bytes: 64 },
    { atNs: 0, priority: 0, bytes: 64 },
    { atNs: 171, priority: 7, bytes: 64 },
  ]);
  assert.equal(
    got.map(g => [g.number, g.atNs]),
    [
      [0, 171],
      [1, 342],
      [2, 512],
    ],
  );
});

test('all in one class: times, drops and marks are those of a link without priorities', async () => {
  const random = unit(9);
  for (let round = 0; round < 12; round++) {
    let atNs = 0;
    const sent = Array.from({ length: 300 }, () => {
      atNs += Math.floor(random() * random() * 14_000);
      return { atNs, priority: 5, bytes: 64 + Math.floor(random() * 1400) };
    });
    const settings: LinkSettings = {
      rate: [1e9, 1e10, 8e8][round % 3],
      queueBytes: 20_000,
      ecnBytes: 6000,
      delayNs: 500 * round,
      loss: round & 1 ? 0.02 : 0,
      duplicate: round & 2 ? 0.05 : 0,
    };
    const plain = await send(settings, sent);
    const queued = await send({ ...settings, priorities: 8 }, sent);
    const flat = (got: Arrival[]) => got.map(g => `${g.atNs} ${g.number} ${g.data[15] & 3}`);
    assert.equal(flat(queued.got), flat(plain.got));
    const { queues, ...rest } = queued.stats;
    assert.equal({ ...rest, queues: [] }, plain.stats);
    assert.equal([queues[5].dropped, queues[5].marked], [plain.stats.overflowed, plain.stats.marked]);
  }
});

test('the wire works while anything waits: the last byte leaves when it would without priorities', async () => {
  const random = unit(4);
  for (let round = 0; round < 8; round++) {
    let atNs = 0;
    const sent = Array.from({ length: 400 }, () => {
      atNs += Math.floor(random() * 9000);
      return { atNs, priority: Math.floor(random() * 8), bytes: 64 + Math.floor(random() * 1400) };
    });
    const { got, stats } = await send(GIGABIT, sent);
    const plain = await send({ rate: 1e9 }, sent);
    assert.is(got.length, 400);
    assert.is(got.at(-1)!.atNs, plain.got.at(-1)!.atNs);
    // Strict priority as the definition has it: at each start nobody higher waits.
    const length = (i: number): number => sent[i].bytes! * 8;
    for (const { number, atNs: end } of got) {
      const start = end - length(number);
      const better = got.filter(
        o =>
          sent[o.number].priority > sent[number].priority &&
          sent[o.number].atNs < start &&
          o.atNs - length(o.number) > start,
      );
      assert.equal(numbers(better), [], `at ${start} ns packet ${number} left before them`);
    }
    // What the counters say of waiting is what the arrivals say.
    for (const [p, q] of stats.queues.entries()) {
      const waits = got
        .filter(g => sent[g.number].priority === p)
        .map(g => g.atNs - length(g.number) - sent[g.number].atNs);
      assert.is(q.maxWaitNs, Math.max(0, ...waits));
      assert.is(
        q.waitNs,
        waits.reduce((x, y) => x + y, 0),
      );
    }
  }
});

test('starvation is counted: whom a saturated wire passes over, how often, and for how long', async () => {
  const sent: Sent[] = [{ atNs: 0, priority: 7 }];
  for (let i = 0; i < 5; i++) sent.push({ atNs: 0, priority: 0 });
  // As many urgent ones as the wire carries, for 1 ms.
  for (let i = 1; i < 125; i++) sent.push({ atNs: i * 8000 - 10, priority: 7 });
  const { got, stats } = await send(GIGABIT, sent);
  assert.equal(
    numbers(got)
      .slice(-5)
      .sort((x, y) => x - y),
    [1, 2, 3, 4, 5],
  );
  const [low, , , , , , , high] = stats.queues;
  assert.equal([low.passed, low.maxWaitNs, low.sent], [125, 125 * 8000 + 4 * 8000, 5]);
  assert.equal([high.passed, high.maxWaitNs], [0, 10]);
});

test('a limit for all: what comes last is dropped, whatever its class', async () => {
  const sent = Array.from({ length: 12 }, (_, i) => ({ atNs: 0, priority: i < 10 ? 0 : 7 }));
  const { got, stats } = await send({ ...GIGABIT, queueBytes: 10_000 }, sent);
  assert.is(got.length, 10);
  assert.equal([stats.queues[0].dropped, stats.queues[7].dropped, stats.overflowed], [0, 2, 2]);
  assert.equal([stats.queues[0].maxBytes, stats.queues[0].maxPackets], [10_000, 10]);
});

test('limits of each queue: a full one drops its own, the others have their room', async () => {
  const sent = Array.from({ length: 40 }, (_, i) => ({ atNs: 0, priority: [0, 7][i & 1] }));
  const each = { queueBytes: [3000, 1000, 1000, 1000, 1000, 1000, 1000, 8000] };
  const { got, stats } = await send({ ...GIGABIT, priorities: each }, sent);
  assert.is(got.length, 11);
  assert.equal([stats.queues[0].dropped, stats.queues[7].dropped, stats.overflowed], [17, 12, 29]);
});

test('marks by queue and for all: the threshold that is passed first marks', async () => {
  const sent = Array.from({ length: 16 }, (_, i) => ({ atNs: 0, priority: [0, 7][i & 1] }));
  const marked = (settings: LinkSettings) =>
    send({ rate: 1e9, ...settings }, sent).then(r => {
      const ce = r.got.filter(g => (g.data[15] & 3) === 3).map(g => g.number);
      assert.is(r.stats.marked, ce.length);
      return ce.sort((x, y) => x - y);
    });
  assert.equal(await marked({ priorities: { ecnBytes: [5000, 0, 0, 0, 0, 0, 0, 7000] } }), [10, 12, 14, 15]);
  assert.equal(await marked({ priorities: 8, ecnBytes: 13_000 }), [13, 14, 15]);
});

test('fewer queues than classes: neighbours share one, or as the settings say', async () => {
  const sent = [0, 1, 2, 3, 4, 5, 6, 7].map(priority => ({ atNs: 0, priority }));
  assert.equal(numbers((await send({ rate: 1e9, priorities: 2 }, sent)).got), [4, 5, 6, 7, 0, 1, 2, 3]);
  const queueOf = [1, 0, 0, 0, 0, 0, 0, 0];
  assert.equal(
    numbers((await send({ rate: 1e9, priorities: { queues: 2, queueOf } }, sent)).got),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
  assert.equal(numbers((await send({ rate: 1e9, priorities: 1 }, sent)).got), [0, 1, 2, 3, 4, 5, 6, 7]);
});

test('what is no IP packet waits in the lowest queue', async () => {
  const arp = (priority: number, bytes: number, number: number): Uint8Array => {
    const p = byDscp(priority, bytes, number);
    if (priority === 0) p.set([0x08, 0x06, 0xe0, 0xff], 12);
    return p;
  };
  const sent = [0, 0, 3].map(priority => ({ atNs: 0, priority, bytes: 64 }));
  assert.equal(numbers((await send(GIGABIT, sent, arp)).got), [2, 0, 1]);
});

test('frames that wait when the engine stops are under way, and counted', async () => {
  const sent = Array.from({ length: 20 }, (_, i) => ({ atNs: 0, priority: i & 7 }));
  const { got, stats } = await send(GIGABIT, sent, byDscp, 50_000);
  assert.is(got.length, 6);
  assert.is(stats.underWay, 14);
  assert.is(
    stats.queues.reduce((n, q) => n + q.packets, 0),
    13,
  );
});

test('in real time the order is the same, and nobody waits for a step that does not come', async () => {
  const { a, b } = modelLink({ rate: 1e6, priorities: 8 });
  const engine = await Engine.create({ nics: [a], inline: true, frames: 64, mapBytes: 4096 });
  await engine.start();
  for (const [i, priority] of [1, 2, 7].entries()) b.send(byDscp(priority, 64, i));
  engine.run();
  assert.equal(
    engine.receive().map(p => numberOf(p.data)),
    [2, 1, 0],
  );
  assert.is((await engine.stop()).ledger.free, 64);
});

test('worker lanes: 20,000 packets of all classes, all there, each class in its order', async () => {
  const { a, b } = modelLink({ rate: 5e9, priorities: 8, packets: 1024 });
  const engine = await Engine.create({ nics: [a], lanes: 1, frames: FRAMES, mapBytes: 4096 });
  await engine.start();
  const last = new Map<number, number>();
  let got = 0;
  const take = (): void => {
    for (const p of engine.receive()) {
      const priority = p.data[15] >> 5;
      assert.ok(numberOf(p.data) > (last.get(priority) ?? -1));
      last.set(priority, numberOf(p.data));
      got++;
    }
  };
  for (let i = 0; i < 20_000; ) {
    // As many as the link may hold: more would be dropped, rightly.
    if (i - got < 512 && b.send(byDscp(i & 7, 64, i))) i++;
    else {
      await new Promise(r => setImmediate(r));
      take();
    }
  }
  await engine.idle();
  take();
  assert.is(got, 20_000);
  assert.is((await engine.stop()).ledger.free, FRAMES);
});

test('settings that cannot be are refused with a code', async () => {
  for (const bad of [
    { priorities: 8 },
    { rate: 1e9, priorities: 9 },
    { rate: 1e9, priorities: 0 },
    { rate: 1e9, priorities: { queueOf: [0, 1] } },
    { rate: 1e9, priorities: { queues: 2, queueOf: [0, 1, 2, 0, 0, 0, 0, 0] } },
    { rate: 1e9, priorities: { queueBytes: [1, 2] } },
    { rate: 1e9, priorities: { ecnBytes: -1 } },
  ] as ModelOptions[]) {
    let code: string | undefined;
    await Engine.create({ nics: [modelLink(bad).a], inline: true, frames: 16, mapBytes: 4096 }).catch(
      (e: { code: string }) => (code = e.code),
    );
    assert.is(code, 'ERR_LINK_OPTIONS', JSON.stringify(bad));
  }
});
