/**
 * The arena: one fixed-size shared WebAssembly.Memory and its regions (DESIGN D1).
 *   page 0 (zero) │ ArenaHeader │ lanes + stacks + wheels │ ports │ counters │ scratch │ maps │ rings │ streams │ packet area
 * The host thread creates it and owns all allocation; lanes attach to the same memory.
 */
import { EtherloomError } from '../errors.js';
import {
  ARENA_HEADER_AT,
  ArenaHeaderLayout,
  ArenaHeaderView,
  BPF_STACK_BYTES,
  FRAME_SIZE,
  LaneStateLayout,
  LaneStateView,
  LaneWheelLayout,
  MAX_LANES,
  PAGE,
  WHEEL_SLOTS,
} from '../layout/layout.gen.js';
import { Region } from './region.js';
import { planStreams, type StreamOptions } from './streams.js';

export const ARENA_MAGIC = 0x4d4c5445;
export const ARENA_VERSION = 1;
const WASM_PAGE = 65536;
/** Bytes reserved for the port table; the engine checks that its structure fits. */
const PORTS_BYTES = 512 * 1024;
/** A lane's timing wheel: its head, then its list heads. */
export const WHEEL_BYTES = LaneWheelLayout.size + WHEEL_SLOTS * 8;

export interface ArenaOptions {
  /** Lanes to prepare for (1 … MAX_LANES). Default 1. */
  lanes?: number;
  /** Frames of FRAME_SIZE bytes. Default 8192. */
  frames?: number;
  /** Streams of transports, and memory for their rings. Default none. */
  streams?: StreamOptions;
  /** Bytes for maps. Default 64 MiB. */
  mapBytes?: number;
  /** Bytes for objects of programs (bpf_obj_new), out of the map region when the first program makes some. Default a quarter of it, at most 4 MiB. */
  objectBytes?: number;
  /** Bytes for rings. Default 4 MiB. */
  ringBytes?: number;
  /** Bytes for templates, test-run buffers and the like. Default 8 MiB. */
  scratchBytes?: number;
  /** Bytes for counters. Default 1 MiB. */
  counterBytes?: number;
}

const alignUp = (n: number, to: number): number => Math.ceil(n / to) * to;

export class Arena {
  readonly u8: Uint8Array;
  readonly dv: DataView;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly header: ArenaHeaderView;
  readonly maps: Region;
  readonly rings: Region;
  readonly scratch: Region;
  readonly counters: Region;

  private constructor(readonly memory: WebAssembly.Memory) {
    this.u8 = new Uint8Array(memory.buffer);
    this.dv = new DataView(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.i32 = new Int32Array(memory.buffer);
    this.header = new ArenaHeaderView(this.dv, ARENA_HEADER_AT);
    const h = this.header;
    this.maps = new Region('maps', h.mapsAt, h.mapsBytes);
    this.rings = new Region('rings', h.ringsAt, h.ringsBytes);
    this.scratch = new Region('scratch', h.scratchAt, h.scratchBytes);
    this.counters = new Region('counters', h.countersAt, h.countersBytes);
  }

  /** Makes a new arena. @throws EtherloomError ERR_ARENA_OPTIONS for sizes that cannot be. */
  static create(options: ArenaOptions = {}): Arena {
    const lanes = options.lanes ?? 1;
    const frames = options.frames ?? 8192;
    if (!Number.isInteger(lanes) || lanes < 1 || lanes > MAX_LANES)
      throw new EtherloomError('ERR_ARENA_OPTIONS', `${lanes} lanes`, {
        expected: `a whole number from 1 to ${MAX_LANES}`,
      });
    if (!Number.isInteger(frames) || frames < 1)
      throw new EtherloomError('ERR_ARENA_OPTIONS', `${frames} frames`, {
        expected: 'a whole number of at least 1',
      });

    let at = ARENA_HEADER_AT + ArenaHeaderLayout.size;
    const take = (bytes: number, align: number): number => {
      const start = alignUp(at, align);
      at = start + bytes;
      return start;
    };
    const lanesAt = take(LaneStateLayout.size * (lanes + 1), 64);
    const stacksAt = take(BPF_STACK_BYTES * (lanes + 1), PAGE);
    const wheelsAt = take(WHEEL_BYTES * (lanes + 1), 64);
    const portsAt = take(PORTS_BYTES, PAGE);
    const countersBytes = alignUp(options.counterBytes ?? 1 << 20, PAGE);
    const countersAt = take(countersBytes, PAGE);
    const scratchBytes = alignUp(options.scratchBytes ?? 8 << 20, PAGE);
    const scratchAt = take(scratchBytes, PAGE);
    const mapsBytes = alignUp(options.mapBytes ?? 64 << 20, PAGE);
    const mapsAt = take(mapsBytes, PAGE);
    const ringsBytes = alignUp(options.ringBytes ?? 4 << 20, PAGE);
    const ringsAt = take(ringsBytes, PAGE);
    const streams = options.streams && planStreams(options.streams, lanes);
    const streamsAt = streams ? take(streams.size, PAGE) : 0;
    // Words of these are looked at by `at >> 2`; only bytes of streams and packets may lie above.
    const tables = streams ? streamsAt + streams.memoryAt : at;
    if (tables > 2 ** 31)
      throw new EtherloomError(
        'ERR_ARENA_OPTIONS',
        `counters, scratch, maps and rings take ${tables} bytes`,
        {
          expected: `less than 2 GiB: mapBytes is ${mapsBytes}, ringBytes ${ringsBytes}`,
        },
      );
    const packetBytes = frames * FRAME_SIZE;
    const packetAt = take(packetBytes, PAGE);
    const pages = alignUp(at, WASM_PAGE) / WASM_PAGE;
    if (pages > 65535)
      throw new EtherloomError('ERR_ARENA_OPTIONS', `the arena would be ${pages} Wasm pages`, {
        expected: 'less than 4 GiB in all',
      });

    let memory: WebAssembly.Memory;
    try {
      memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    } catch (cause) {
      throw new EtherloomError(
        'ERR_ARENA_MEMORY',
        `no ${pages * WASM_PAGE} bytes of shared memory to be had`,
        { cause },
      );
    }
    const dv = new DataView(memory.buffer);
    const h = new ArenaHeaderView(dv, ARENA_HEADER_AT);
    Object.assign(h, {
      magic: ARENA_MAGIC,
      version: ARENA_VERSION,
      totalBytes: pages * WASM_PAGE,
      laneCount: lanes,
      lanesAt,
      wheelsAt,
      portsAt,
      countersAt,
      countersBytes,
      ringsAt,
      ringsBytes,
      mapsAt,
      mapsBytes,
      objectBytes: alignUp(options.objectBytes ?? Math.min(4 << 20, mapsBytes >>> 2), 64),
      scratchAt,
      scratchBytes,
      packetAt,
      packetBytes,
      frameCount: frames,
      tableBase: 1,
      streamsAt,
      streamCount: streams?.count ?? 0,
      streamPoolAt: streams ? streamsAt + streams.poolAt : 0,
    });
    for (let i = 0; i <= lanes; i++) {
      const lane = new LaneStateView(dv, lanesAt + i * LaneStateLayout.size);
      lane.index = i;
      lane.stackAt = stacksAt + i * BPF_STACK_BYTES;
      lane.stackTop = lane.stackAt + BPF_STACK_BYTES;
      lane.entryFp = lane.stackTop;
    }
    return new Arena(memory);
  }

  /** Wraps the memory of an arena made elsewhere. Lanes use this; they must not allocate from its regions. */
  static attach(memory: WebAssembly.Memory): Arena {
    const magic = new DataView(memory.buffer).getUint32(ARENA_HEADER_AT, true);
    if (magic !== ARENA_MAGIC)
      throw new EtherloomError('ERR_ARENA_MAGIC', 'this memory is not an arena', {
        offset: ARENA_HEADER_AT,
        expected: 'magic "ETLM"',
      });
    return new Arena(memory);
  }

  /** State of lane `index`; `laneCount` names the host instance. */
  lane(index: number): LaneStateView {
    return new LaneStateView(this.dv, this.header.lanesAt + index * LaneStateLayout.size);
  }
}
