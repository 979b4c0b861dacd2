/**
 * Connections that send at a rate, in real time: two hosts, a lane each, on the wire of shm.ts, applications in the lanes.
 * What left, and when, by the flows' own figures, second by second.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { FlowWatch } from '../../../tests/tcp/watch.js';
import { wish } from './hosts.js';
import { ShmPair } from './shm.js';

/** Frames of full segments, and what of them the application gave. */
export const FRAME = 1514;
const PAYLOAD = 1448;
/** Packets that the wire holds: 20 ms of 10 Gbit/s, so that a host that is away for less loses none. */
const SLOTS = 16_384;
const FRAMES = 65_536;
/** Rings of a single connection, and of many: bytes. */
const RING = { one: 16 << 20, many: 256 << 10 };
const SETTLE_MS = 500;
/**
 * For so long connections send without their rate. Their windows grow to what the path carries meanwhile: those of a paced
 * one stay as small as what its rate has in flight, and a receiver that its system stops for some ms would then stop the
 * sender, too.
 */
const GROW_MS = 300;
/** Lanes go on for so long after what is measured. */
const SPARE_MS = 100;

/** A window of time. */
export interface PacedWindow {
  /** Bytes of frames per second, by the times at which its first and its last packet left. */
  rate: number;
  packets: number;
}

export interface PacedRun {
  windows: PacedWindow[];
  dropped: number;
  resent: number;
  /** How long threads of this process were ready and had no CPU: what nobody paces away, ms. */
  awaitedMs: number;
}

const wait = (ms: number): Promise<void> => new Promise(done => setTimeout(done, ms));

/** Of all threads but the main one, ms. */
function awaitedMs(): number {
  let ns = 0;
  for (const thread of readdirSync('/proc/self/task'))
    if (thread !== String(process.pid))
      ns += Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ')[1]);
  return ns / 1e6;
}

const ringFor = (connections: number): number => (connections > 1 ? RING.many : RING.one);

/** `connections` of `rate` bytes per second together, for `windows` windows of `ms`. */
export async function runPaced(
  rate: number,
  connections: number,
  windows: number,
  ms: number,
): Promise<PacedRun> {
  const ring = ringFor(connections);
  const pair = await ShmPair.create({
    ...{ connections, ring, slots: SLOTS, frames: FRAMES },
    options: { initialCwnd: 255 },
  });
  try {
    const watch = new FlowWatch(pair.hosts[0]);
    /** Bytes that left, and when the last packet did, mean of all. A flow is read as of one packet: its lane goes on. */
    const look = (): { bytes: number; ns: number } => {
      const sum = { bytes: 0, ns: 0 };
      for (const id of pair.ids[0])
        for (;;) {
          const ns = watch.u64(id, 'left_ns');
          const bytes = watch.u64(id, 'left_bytes');
          if (watch.u64(id, 'left_ns') !== ns || watch.u64(id, 'left_bytes') !== bytes) continue;
          sum.bytes += Number(bytes);
          sum.ns += Number(ns) / connections;
          break;
        }
      return sum;
    };
    await pair.flood(GROW_MS);
    await pair.setOptions({ ...wish(ring), rate: Math.round(rate / connections) });
    const flood = pair.flood(SETTLE_MS + windows * ms + SPARE_MS);
    await wait(SETTLE_MS);
    const from = awaitedMs();
    const seen = [look()];
    while (seen.length <= windows) {
      await wait(ms);
      seen.push(look());
    }
    const awaited = awaitedMs() - from;
    await flood;
    const { PKT_QUEUE_FULL = 0, TX_FULL = 0 } = pair.engine.counters()[0].drops;
    return {
      windows: seen.slice(1).map((end, i) => {
        const bytes = end.bytes - seen[i].bytes;
        return { rate: bytes / ((end.ns - seen[i].ns) / 1e9), packets: Math.round(bytes / FRAME) };
      }),
      dropped: PKT_QUEUE_FULL + TX_FULL,
      resent: pair.counters()[0].RetransSegs ?? 0,
      awaitedMs: awaited,
    };
  } finally {
    await pair.close();
  }
}

/** What the machine carries without pacing on the same wire: bytes of frames per second. */
export async function runUnpaced(ms: number): Promise<number> {
  const pair = await ShmPair.create({ connections: 1, ring: RING.one, slots: SLOTS, frames: FRAMES });
  try {
    const watch = new FlowWatch(pair.hosts[0]);
    const acked = (): number => Number(watch.u64(pair.ids[0][0], 'bytes_acked'));
    const flood = pair.flood(SETTLE_MS + ms + SPARE_MS);
    await wait(SETTLE_MS);
    const [bytes, from] = [acked(), performance.now()];
    await wait(ms);
    const rate = (acked() - bytes) / ((performance.now() - from) / 1000);
    await flood;
    return (rate / PAYLOAD) * FRAME;
  } finally {
    await pair.close();
  }
}
