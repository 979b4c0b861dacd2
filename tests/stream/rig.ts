/** Streams without an engine: an arena, an instance of the core for each lane and for the host, and a packet to fill. */

import {
  FRAME_SIZE,
  StreamLayout,
  StreamPoolView,
  StreamView,
  XdpContextLayout,
  XdpContextView,
} from '../../host/layout/layout.gen.js';
import { Arena } from '../../host/mem/arena.js';
import { type Core, type CoreExports, instantiateCore } from '../../host/mem/core.js';
import type { StreamOptions } from '../../host/mem/streams.js';
import { createStreams, streamMemory, takeStreamLedger } from '../../host/mem/streams.js';
import { StreamApps } from '../../host/streams/stream_apps.js';
import { assert } from '../support/suite.js';

export const ENOENT = -2;
export const ENOMEM = -12;
export const EFAULT = -14;
export const EINVAL = -22;
export const ENOBUFS = -105;

export const KIB = 1024;

export class StreamRig {
  readonly arena: Arena;
  /** By lane; the last is the host. */
  readonly cores: Core[];
  readonly apps: StreamApps;
  readonly ctx: number;
  readonly packetAt: number;
  readonly #xdp: XdpContextView;

  constructor(options: Partial<StreamOptions> & { lanes?: number } = {}) {
    const { lanes = 1, count = 64, bytes = 4096 * KIB, ...more } = options;
    const streams = { count, bytes, ...more };
    this.arena = Arena.create({
      ...{ lanes, frames: 16, mapBytes: 4096, ringBytes: 8 << 20, scratchBytes: 1 << 16, streams },
    });
    for (let i = 0; i <= lanes; i++) this.arena.lane(i).burst = 64;
    this.cores = Array.from({ length: lanes + 1 }, (_, i) => instantiateCore(this.arena, i));
    createStreams(this.arena, this.cores[lanes], streams);
    this.apps = new StreamApps({ arena: this.arena, core: this.cores[lanes] });
    this.packetAt = this.arena.header.packetAt + FRAME_SIZE + 256;
    this.ctx = this.arena.scratch.alloc(XdpContextLayout.size, 64);
    this.#xdp = new XdpContextView(this.arena.dv, this.ctx);
    Object.assign(this.#xdp, { hardStart: this.packetAt - 256, frameEnd: this.packetAt - 256 + FRAME_SIZE });
    this.packet(new Uint8Array(64));
  }

  /** The instance of a lane. */
  lane(i = 0): CoreExports {
    return this.cores[i].exports;
  }

  record(id: number): StreamView {
    return new StreamView(this.arena.dv, this.arena.header.streamsAt + id * StreamLayout.size);
  }

  get pool(): StreamPoolView {
    return new StreamPoolView(this.arena.dv, this.arena.header.streamPoolAt);
  }

  /** Makes these bytes the packet of the context. */
  packet(bytes: Uint8Array): void {
    this.arena.u8.set(bytes, this.packetAt);
    this.#xdp.data = this.packetAt;
    this.#xdp.dataEnd = this.packetAt + bytes.length;
    this.#xdp.dataMeta = this.packetAt;
  }

  /** The bytes of the packet, a copy. */
  get bytes(): Uint8Array {
    return this.arena.u8.slice(this.#xdp.data, this.#xdp.dataEnd);
  }

  /** Opens a stream in a lane; fails the test when there is none. */
  open(app = 0, snd = 4 * KIB, rcv = 4 * KIB, lane = 0): number {
    const id = this.lane(lane).el_stream_open(app, snd, rcv);
    assert.ok(id > 0, `el_stream_open gave ${id}`);
    return id;
  }

  /** What a transport does with a segment in order: into the receive ring, then the application's. Returns bytes taken. */
  deliver(id: number, bytes: Uint8Array, lane = 0): number {
    const x = this.lane(lane);
    const end = this.record(id).rcvEnd;
    const n = Math.min(bytes.length, (x.el_stream_rcv_limit(id) - end) >>> 0);
    if (n === 0) return 0;
    this.packet(bytes.subarray(0, n));
    const sum = x.el_stream_place(this.ctx, 0, id, end, n);
    assert.ok(sum >= 0, `el_stream_place gave ${sum}`);
    assert.is(x.el_stream_received(id, end + n), 0);
    return n;
  }

  /** What a transport does whose peer acknowledges at once: up to `most` bytes out of the send ring. */
  drain(id: number, most = 1460, lane = 0): Uint8Array {
    const x = this.lane(lane);
    const acked = this.record(id).sndAcked;
    const n = Math.min(most, (x.el_stream_snd_end(id) - acked) >>> 0);
    this.packet(new Uint8Array(n));
    const sum = x.el_stream_fetch(this.ctx, 0, id, acked, n);
    assert.ok(sum >= 0, `el_stream_fetch gave ${sum}`);
    assert.is(x.el_stream_acked(id, acked + n), 0);
    return this.bytes;
  }

  /** One round of every lane, without packets. */
  turn(): void {
    for (let i = 0; i < this.cores.length - 1; i++) this.lane(i).stream_turn();
  }

  /** Turns until no lane has anything to do. */
  settle(): void {
    for (let i = 0; i < this.cores.length - 1; i++) while (this.lane(i).stream_turn() !== 0);
  }

  /** Every byte of stream memory and every number is in one place. */
  conserved(): ReturnType<typeof takeStreamLedger> {
    const l = takeStreamLedger(this.arena);
    assert.equal([l.lost, l.doubled, l.lostIds], [0, 0, 0], JSON.stringify(l));
    assert.is(l.free + l.cached + l.used, l.total);
    const m = streamMemory(this.arena);
    assert.ok(l.used <= m.least + m.more && m.least + m.more <= m.budget, JSON.stringify({ l, m }));
    return l;
  }
}

/** RFC 1071 §4.1, word by word, folded: what the sums of kfuncs are compared with. */
export function plainSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i & 1 ? bytes[i] << 8 : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

/** 0 and 0xffff are the same in ones' complement. */
export const sameSum = (a: number, b: number): boolean => a % 0xffff === b % 0xffff;

/** Bytes that say where they stand in their stream. */
export function pattern(from: number, n: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length: n }, (_, i) => {
    const at = from + i;
    return (at * 31 + (at >>> 8) * 7 + seed * 101) & 0xff;
  });
}
