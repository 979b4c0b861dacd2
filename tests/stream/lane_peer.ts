/** A lane in a thread of its own, without an engine: opens, fills, checks and frees streams, beside other lanes that do. */
import {
  FRAME_SIZE,
  StreamLayout,
  StreamView,
  XdpContextLayout,
  XdpContextView,
} from '../../host/layout/layout.gen.js';
import { Arena } from '../../host/mem/arena.js';
import { instantiateCore } from '../../host/mem/core.js';
import { random } from '../support/random.js';
import { pattern } from './rig.js';

export interface LaneTask {
  memory: WebAssembly.Memory;
  lane: number;
  seed: number;
  /** Steps to make. */
  steps: number;
  /** XdpContext of this lane. */
  ctx: number;
}

export interface LaneResult {
  opened: number;
  refused: number;
  wrong: number;
  /** Streams left open: number, seed of their bytes, how many. */
  left: { id: number; seed: number; bytes: number }[];
}

/** A lane opens no more: there are numbers for all, and too little memory. */
const MOST_OPEN = 55;
const SIZES = [2048, 2048, 2048, 4096, 8192, 16_384, 65_536];

export default function churn({ memory, lane, seed, steps, ctx }: LaneTask): LaneResult {
  const arena = Arena.attach(memory);
  const x = instantiateCore(arena, lane).exports;
  const next = random(seed);
  const frame = arena.header.packetAt + (lane + 1) * FRAME_SIZE;
  const xdp = new XdpContextView(arena.dv, ctx);
  Object.assign(xdp, { data: frame, dataEnd: frame + 1024, hardStart: frame, frameEnd: frame + FRAME_SIZE });
  const record = (id: number): StreamView =>
    new StreamView(arena.dv, arena.header.streamsAt + id * StreamLayout.size);
  const result: LaneResult = { opened: 0, refused: 0, wrong: 0, left: [] };
  const open = result.left;

  /** Puts some more bytes into the ring of a stream. */
  const fill = (s: (typeof open)[number]): void => {
    const n = Math.min(1024, record(s.id).rcvBytes - s.bytes, 1 + (next() % 1024));
    if (n === 0) return;
    arena.u8.set(pattern(s.bytes, n, s.seed), frame);
    if (x.el_stream_place(ctx, 0, s.id, s.bytes, n) < 0) {
      result.wrong++;
      return;
    }
    s.bytes += n;
    if (x.el_stream_received(s.id, s.bytes) !== 0) result.wrong++;
  };
  /** Whether the ring still holds what was put there. */
  const check = (s: (typeof open)[number]): void => {
    const { rcvAt } = record(s.id);
    if (Buffer.compare(arena.u8.slice(rcvAt, rcvAt + s.bytes), pattern(0, s.bytes, s.seed)) !== 0)
      result.wrong++;
  };

  for (let i = 0; i < steps; i++) {
    const what = next() % 8;
    if ((what < 3 && open.length < MOST_OPEN) || open.length === 0) {
      const id = x.el_stream_open(0, 0, SIZES[next() % SIZES.length]);
      if (id < 0) result.refused++;
      else {
        result.opened++;
        open.push({ id, seed: (lane << 4) + (next() % 16), bytes: 0 });
      }
    } else if (what < 6) fill(open[next() % open.length]);
    else {
      const [s] = open.splice(next() % open.length, 1);
      check(s);
      if (x.el_stream_free(s.id) !== 0) result.wrong++;
    }
    if (i % 64 === 0) x.stream_turn();
  }
  for (const s of open) check(s);
  return result;
}

export const contextBytes = XdpContextLayout.size;
