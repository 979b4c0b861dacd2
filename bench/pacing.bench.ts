/**
 * Pacing: streams through the Carousel wheel, those of bpf-progs/transports/paced and connections of TCP, on worker lanes
 * in real time. How far what leaves in a second is from the set rate, and how late a packet leaves. For TCP in virtual
 * time, too: what its arithmetic alone is off.
 */
import { Paced } from '../tests/support/paced.js';
import { PacedPair } from '../tests/tcp/paced.js';
import type { Bench } from './harness/bench.js';
import { SPIN } from './scenarios/nic/peers.js';
import { runPaced, runUnpaced } from './scenarios/tcp/paced.js';

const SIZE = 1514;
/** Asked: so close to the set rate over a second. */
const MOST_PERCENT = 0.4;
/** Packets of a stream that may wait: 20 ms of the wheel's 25, so that a lane that stands still for less falls behind for no time. */
const AHEAD_S = 0.02;
const MOST_AHEAD = 16_384;
/** What a stream may catch up after the system kept its lane from its CPU: as connections of TCP (transports/tcp/pace.h). */
const CREDIT_NS = 20_000_000;
/** Seconds of each row in real time: the median counts, the worst is shown. */
const WINDOWS = 5;

/** Streams at two moments, all together. */
interface Seen {
  packets: number;
  /** Mean of when their last packets left, ns. */
  lastNs: number;
  lateNs: number;
}

/** Reads a stream's counters as of one packet: its lane goes on meanwhile. */
function look(p: Paced, streams: number): Seen {
  const seen = { packets: 0, lastNs: 0, lateNs: 0 };
  for (let id = 0; id < streams; id++)
    for (;;) {
      const { sent, last, late } = p.streams.get(id)!;
      if (p.streams.get(id)!.last !== last) continue;
      seen.packets += Number(sent);
      seen.lastNs += Number(last) / streams;
      seen.lateNs += Number(late);
      break;
    }
  return seen;
}

interface Pace {
  /** Bytes per second of all streams, by the times at which their packets left. */
  rate: number;
  packets: number;
  /** Mean time after its own at which a packet left, µs. */
  lateUs: number;
  dropped: number;
}

/** Lets `streams` streams send at `rate` bytes per second together, for so long. */
async function pace(rate: number, streams: number, seconds: number, credit: number): Promise<Pace> {
  const each = Math.round(rate / streams);
  const ahead = Math.max(2, Math.floor(Math.min(MOST_AHEAD / streams, (each * AHEAD_S) / SIZE)));
  const frames = 2048 + ahead * streams;
  const p = await Paced.create({ sink: true, frames, ringSlots: 4096, spinUs: SPIN });
  try {
    for (let id = 0; id < streams; id++) p.open(id, each, 2 ** 40, { ahead, credit });
    await p.engine.start();
    for (let id = 0; id < streams; id++) p.start(id);
    await new Promise(done => setTimeout(done, 500));
    const first = look(p, streams);
    await new Promise(done => setTimeout(done, seconds * 1000));
    const last = look(p, streams);
    const packets = last.packets - first.packets;
    const { PKT_QUEUE_FULL = 0, TX_FULL = 0 } = p.engine.counters()[0].drops;
    return {
      rate: (packets * SIZE) / ((last.lastNs - first.lastNs) / 1e9),
      packets,
      lateUs: (last.lateNs - first.lateNs) / packets / 1000,
      dropped: PKT_QUEUE_FULL + TX_FULL,
    };
  } finally {
    await p.engine.stop();
    await p.collection.close();
  }
}

const RATES = [
  ['1 Mbit/s', 1e6],
  ['10 Mbit/s', 1e7],
  ['100 Mbit/s', 1e8],
  ['1 Gbit/s', 1e9],
  ['5 Gbit/s', 5e9],
  ['10 Gbit/s', 1e10],
] as const;

const percentOff = (rate: number, bits: number): number => (Math.abs(rate * 8 - bits) / bits) * 100;

/** A connection in virtual time, for a second of it. */
async function tcpVirtual(bench: Bench): Promise<void> {
  for (const [rate, bits] of RATES) {
    const name = `${rate}, virtual time`;
    if (!bench.wants(name)) continue;
    const p = await PacedPair.create({ rate: bits / 8 });
    await p.pass(10, 5000);
    const seconds = bench.quick ? 0.1 : 1;
    const seen = await p.pass(Math.max(20, Math.floor((bits / 8 / SIZE) * seconds)), 20_000);
    await p.pair.engine.stop();
    const percent = percentOff(seen.rate, bits);
    bench.row({
      group: 'pacing tcp',
      name,
      conditions: `${SIZE} B, ${seen.packets} packets, ${((seen.rate * 8) / 1e6).toFixed(3)} Mbit/s`,
      unit: '%',
      value: percent,
      target: `≤ ${MOST_PERCENT} % off`,
      met: percent <= MOST_PERCENT,
    });
  }
}

/** Connections in real time: each host has a lane, and the lanes do not sleep. */
async function tcpReal(bench: Bench): Promise<void> {
  const [windows, ms] = bench.quick ? [1, 300] : [WINDOWS, 1000];
  const most = await runUnpaced(ms);
  bench.row({
    group: 'pacing tcp',
    name: 'not paced: what the machine carries',
    conditions: `${SIZE} B, 1 connection, two lanes that spin, shm NIC, ${((most * 8) / 1e9).toFixed(2)} Gbit/s of frames`,
    unit: 'MB/s',
    value: most / 1e6,
  });
  for (const [text, bits, count] of [
    ...RATES.map(r => [...r, 1] as const),
    ['1 Gbit/s', 1e9, 100] as const,
  ]) {
    const name = `${text}, ${count} connection${count === 1 ? '' : 's'}, real time`;
    if (!bench.wants(name)) continue;
    const run = await runPaced(bits / 8, count, windows, ms);
    const off = run.windows.map(w => percentOff(w.rate, bits)).sort((x, y) => x - y);
    const percent = off[(off.length - 1) >> 1];
    const { packets, rate } = run.windows.find(w => percentOff(w.rate, bits) === percent)!;
    const carried = bits / 8 <= most;
    bench.row({
      group: 'pacing tcp',
      name,
      conditions:
        `${SIZE} B, two lanes that spin, shm NIC, median of ${windows} windows of ${ms} ms, worst ${off[off.length - 1].toFixed(3)} %: ` +
        `${packets} packets, ${((rate * 8) / 1e6).toFixed(3)} Mbit/s, ${run.dropped} dropped, ${run.resent} sent again, ` +
        `lanes waited ${run.awaitedMs.toFixed(0)} ms for a CPU`,
      unit: '%',
      value: percent,
      target: carried
        ? `≤ ${MOST_PERCENT} % off`
        : `≤ ${MOST_PERCENT} % off, but this machine carries only ${((most * 8) / 1e9).toFixed(2)} Gbit/s without pacing`,
      // What cannot be carried at all says nothing of pacing, unless it was.
      ...(carried || percent <= MOST_PERCENT ? { met: percent <= MOST_PERCENT } : {}),
    });
  }
}

export default async function pacing(bench: Bench): Promise<void> {
  await tcpVirtual(bench);
  await tcpReal(bench);
  for (const [text, bits, streams, credit] of [
    ...RATES.map(r => [...r, 1, CREDIT_NS] as const),
    ['1 Gbit/s', 1e9, 100, CREDIT_NS] as const,
    ['10 Gbit/s', 1e10, 100, CREDIT_NS] as const,
    ['1 Gbit/s', 1e9, 1, 0] as const,
  ]) {
    const name = `${text}, ${streams} stream${streams === 1 ? '' : 's'}${credit ? '' : ', nothing sent after, as in Carousel'}`;
    if (!bench.wants(name)) continue;
    const { rate, packets, lateUs, dropped } = await pace(bits / 8, streams, bench.quick ? 0.3 : 1, credit);
    const percent = percentOff(rate, bits);
    bench.row({
      group: 'pacing',
      name,
      conditions:
        `${SIZE} B, a worker lane that spins, sink, 1 s: ${packets} packets, ${((rate * 8) / 1e6).toFixed(3)} Mbit/s, ` +
        `a packet ${lateUs.toFixed(1)} µs late, ${dropped} dropped`,
      unit: '%',
      value: percent,
      // Without credit each ms that the system takes the lane's CPU away is missing.
      ...(credit ? { target: `≤ ${MOST_PERCENT} % off`, met: percent <= MOST_PERCENT } : {}),
    });
  }
}
