/**
 * Makes a program's code hot before a packet sees it. V8 compiles lazily, first with Liftoff, and gives a function to
 * TurboFan after some ms of work; code belongs to the Module, so that every instance and thread has the better code.
 *
 * Nothing real is touched: the program runs over a memory of its own, laid out like the arena but all zero, and its
 * helpers are stubs that return 0 (a lookup misses, a reservation fails). Which path it takes does not matter:
 * TurboFan compiles whole functions.
 */
import { FRAME_HEADROOM, FRAME_SIZE, LaneStateView } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import { contextView, programTypes } from '../program_types.js';
import { exportSignature } from './compile.js';
import type { CompiledProgram } from './compiled.js';
import { ModuleBuilder } from './wasm/encoder.js';
import { I32, I64, type ValueType } from './wasm/opcodes.js';

export interface WarmOptions {
  /** Stop after this long. Default 4. */
  maxMs?: number;
  /** Stop after so many runs. Default 50,000. */
  maxRuns?: number;
}

const PAGE = 65536;
/** Five arguments. */
const ARGS_BYTES = 40;
/** Runs between two looks at the clock. */
const BATCH = 256;

let playground: WebAssembly.Memory | undefined;

/** Zeroed memory as large as the arena: address space, not bytes; pages come when they are touched. */
function memoryLike(arena: Arena): WebAssembly.Memory {
  const pages = arena.header.totalBytes / PAGE;
  if (!playground || playground.buffer.byteLength !== pages * PAGE)
    playground = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return playground;
}

/** Exports that take what the helpers take and return 0. */
function stubs(names: readonly string[]): WebAssembly.ModuleImports {
  const letters: Record<string, ValueType> = { p: I32, w: I32, i: I32, d: I64 };
  const m = new ModuleBuilder('stubs');
  for (const name of names) {
    const { args, result } = exportSignature(name)!;
    const results = result === 'v' ? [] : [letters[result]];
    const f = m.addFunction(
      name,
      [...args].map(l => letters[l]),
      results,
    );
    if (results[0] === I32) f.i32(0);
    else if (results[0] === I64) f.i64(0n);
    m.exportFunction(name, f);
  }
  return new WebAssembly.Instance(new WebAssembly.Module(m.finish())).exports as WebAssembly.ModuleImports;
}

const ETH = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
const ipv4 = (proto: number, l4: number[], length: number): number[] => [
  ...ETH,
  ...[
    8,
    0,
    0x45,
    0,
    (length - 14) >> 8,
    (length - 14) & 255,
    0,
    1,
    0x40,
    0,
    64,
    proto,
    0,
    0,
    10,
    0,
    0,
    1,
    10,
    0,
    0,
    2,
  ],
  ...l4,
];
const TCP = [0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
const UDP = [0x30, 0x39, 0, 53, 0, 26, 0, 0];
const IPV6 = [
  0x86,
  0xdd,
  0x60,
  0,
  0,
  0,
  0,
  20,
  6,
  64,
  0xfd,
  ...Array(14).fill(0),
  1,
  0xfd,
  ...Array(14).fill(0),
  2,
];

/** Frames of the common kinds: [first bytes, length]. */
const FRAMES: readonly (readonly [number[], number])[] = [
  [ipv4(6, TCP, 64), 64],
  [ipv4(17, UDP, 64), 64],
  [ipv4(1, [8, 0, 0, 0, 0, 1, 0, 1], 98), 98],
  [[...ETH, ...IPV6, ...TCP], 78],
  [[...ETH, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1], 64],
  [ipv4(6, TCP, 1514), 1514],
];

/**
 * Runs `compiled` over synthetic frames, on the calling thread, before it is posted to lanes.
 * Returns the number of runs. Verified programs only.
 */
export function warm(compiled: CompiledProgram, arena: Arena, options: WarmOptions = {}): number {
  const memory = memoryLike(arena);
  const dv = new DataView(memory.buffer);
  const u8 = new Uint8Array(memory.buffer);
  const { lanesAt, scratchAt, packetAt } = arena.header;
  const real = arena.lane(0);
  const lane = new LaneStateView(dv, lanesAt);
  lane.stackAt = real.stackAt;
  lane.stackTop = real.stackTop;
  lane.entryFp = real.stackTop;
  const instance = new WebAssembly.Instance(compiled.module, {
    env: {
      memory,
      table: new WebAssembly.Table({ element: 'anyfunc', initial: 1 }),
      stack: lane.stackTop,
      lane: 0,
      state: lanesAt,
      slots: 1,
    },
    o: Object.fromEntries(compiled.objects.map((_, i) => [`${i}`, 0])),
    h: stubs(compiled.helpers),
  });
  const run = instance.exports.run as (ctx: number) => bigint;
  const start = packetAt + FRAME_HEADROOM;
  const context = contextView(compiled.spec.type, dv, scratchAt);
  const isArgs = programTypes[compiled.spec.type].context === 'args';
  const maxRuns = options.maxRuns ?? 50_000;
  const until = performance.now() + (options.maxMs ?? 4);
  let runs = 0;
  for (let kind = 0; runs < maxRuns && performance.now() < until; kind = (kind + 1) % FRAMES.length) {
    const [bytes, length] = FRAMES[kind];
    u8.fill(0, packetAt, packetAt + FRAME_SIZE);
    u8.set(bytes, start);
    context.data = start;
    context.dataMeta = start;
    context.dataEnd = start + length;
    context.hardStart = packetAt;
    context.frameEnd = packetAt + FRAME_SIZE;
    if (isArgs)
      for (let at = 0; at < ARGS_BYTES; at += 8) dv.setBigUint64(scratchAt + at, BigInt(packetAt), true);
    for (let i = 0; i < BATCH; i++) run(scratchAt);
    runs += BATCH;
  }
  return runs;
}
