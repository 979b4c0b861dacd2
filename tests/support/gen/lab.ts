/**
 * Where random programs run: one arena with the maps of maps.ts, the checked interpreter, the JIT in both modes and
 * the kernel, each over the same packet.
 */
import { type InterpretResult, interpret } from '../../../host/bpf/interp/interpret.js';
import { compileGuarded, compileProgram } from '../../../host/bpf/jit/compile.js';
import type { CompiledProgram, MapBinding } from '../../../host/bpf/jit/compiled.js';
import { GuardedProgram } from '../../../host/bpf/jit/guarded.js';
import { instantiateProgram } from '../../../host/bpf/jit/instantiate.js';
import { noFacts } from '../../../host/bpf/jit/program.js';
import { KernelMap } from '../../../host/bpf/kernel/map.js';
import { KernelProgram } from '../../../host/bpf/kernel/program.js';
import {
  type ArrayOfMaps,
  type BpfMap,
  createMap,
  type HashMap,
  type LpmTrieMap,
  mapBinding,
  type RingBufMap,
} from '../../../host/bpf/maps/index.js';
import type { MapSpec, ProgramSpec, ProgramType } from '../../../host/bpf/spec.js';
import { trustAsVerified } from '../../../host/bpf/stages.js';
import type { VerifiedProgram } from '../../../host/bpf/verify/verified.js';
import { type TestPacket, testPacket } from '../../../host/engine/test_run.js';
import { BPF_STACK_BYTES } from '../../../host/layout/layout.gen.js';
import { Arena } from '../../../host/mem/arena.js';
import { instantiateCore } from '../../../host/mem/core.js';
import type { Rng } from '../fuzz.js';
import { Key, MAPS } from './maps.js';

/** Stack of guarded programs, in the scratch region. */
const GUARDED_STACK = 8 * 512;
const FUEL = 10_000_000n;

/**
 * A program that no verifier has seen, dressed as a verified one: only for comparing engines on programs that are
 * safe by construction, and for showing that the interpreter catches what an unsound verifier would let through.
 */
export function unverified(spec: ProgramSpec): VerifiedProgram {
  const stats = { processed: 0, states: 0, peakStates: 0, timeUs: 0, stackDepth: [] };
  return trustAsVerified({ spec, facts: noFacts, stats, notes: [] } as unknown as VerifiedProgram);
}

/** Little-endian bytes of a small number. */
function bytesOf(value: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes[0] = value;
  return bytes;
}

/** What a program left behind. */
export interface Outcome {
  r0: bigint;
  data: Uint8Array;
}

export class Lab {
  readonly arena = Arena.create({ frames: 16, mapBytes: 1 << 20, ringBytes: 1 << 16 });
  readonly core = instantiateCore(this.arena, 1);
  readonly maps = new Map<number, BpfMap>();
  readonly binding: MapBinding;
  private readonly guardedStack = this.arena.scratch.alloc(GUARDED_STACK, 64) + GUARDED_STACK;
  private readonly slots: number;

  constructor() {
    for (const [key, spec] of Object.entries(MAPS))
      this.maps.set(Number(key), createMap(this.arena, this.core, spec));
    const outer = this.maps.get(Key.outer) as ArrayOfMaps;
    outer.set(0, createMap(this.arena, this.core, MAPS[Key.outer].inner!));
    this.binding = mapBinding(Object.fromEntries(this.maps));
    this.slots = this.core.table.length;
  }

  /** Fills the lane's stack: a program whose result depends on it reads what it never wrote. */
  poison(byte: number): void {
    const top = this.arena.lane(this.core.lane).stackTop;
    this.arena.u8.fill(byte, top - BPF_STACK_BYTES, top);
  }

  /** Maps as programs expect them: keys that random programs look up, room in the ring buffer. */
  refill(): void {
    for (let i = 0; i < 6; i++) {
      (this.maps.get(Key.hash) as HashMap).set(bytesOf(i, 8), new Uint8Array(40).fill(i));
      (this.maps.get(Key.lru) as HashMap).set(bytesOf(i, 4), new Uint8Array(16).fill(i));
    }
    (this.maps.get(Key.lpm) as LpmTrieMap).set(bytesOf(0, 8), new Uint8Array(8).fill(9));
    (this.maps.get(Key.ringbuf) as RingBufMap).poll();
  }

  /** @throws InterpFault when the program breaks a rule */
  interpret(spec: ProgramSpec, data: Uint8Array, budget?: number): Outcome & Pick<InterpretResult, 'insns'> {
    return this.with(spec.type, data, packet => {
      const { r0, insns } = interpret(spec, {
        arena: this.arena,
        core: this.core,
        ctx: packet.ctx,
        maps: this.binding,
        budget,
      });
      return { r0, insns, data: packet.read() };
    });
  }

  /** The JIT in verified mode. */
  jit(program: VerifiedProgram, data: Uint8Array): Outcome {
    const compiled: CompiledProgram = compileProgram(program, this.binding);
    const instance = instantiateProgram(compiled, this.core, this.arena, this.slots);
    return this.with(program.spec.type, data, packet => {
      const run = instance.exports.run as (ctx: number) => bigint;
      return { r0: BigInt.asUintN(64, run(packet.ctx)), data: packet.read() };
    });
  }

  /** The JIT in guarded mode: its region is the scratch memory, where packet, context and stack lie. */
  guarded(spec: ProgramSpec, data: Uint8Array): Outcome {
    const { scratchAt, scratchBytes } = this.arena.header;
    const program = new GuardedProgram(compileGuarded(spec), {
      memory: this.arena.memory,
      lo: scratchAt,
      hi: scratchAt + scratchBytes,
      stack: this.guardedStack,
    });
    return this.with(spec.type, data, packet => ({
      r0: program.enter(BigInt(packet.ctx), 0n, FUEL),
      data: packet.read(),
    }));
  }

  private with<T>(type: ProgramType, data: Uint8Array, body: (packet: TestPacket) => T): T {
    const packet = testPacket(this.arena, type, data);
    try {
      packet.reset();
      return body(packet);
    } finally {
      packet.free();
    }
  }
}

/** The kernel's side: maps are made once for each program type, since a program array serves one type only. */
export class KernelLab {
  private readonly maps = new Map<ProgramType, Map<MapSpec, KernelMap>>();

  /** Verdict and instructions processed. */
  verdict(spec: ProgramSpec): { accepted: boolean; processed: number } {
    const load = KernelProgram.load(spec, { log: 'statistics', maps: this.mapsOf(spec) });
    if (load.accepted) load.program.close();
    return load;
  }

  /** Why the kernel rejects a program that it rejects. */
  reason(spec: ProgramSpec): string {
    const load = KernelProgram.load(spec, { maps: this.mapsOf(spec) });
    if (!load.accepted) return load.reason;
    load.program.close();
    return 'accepted';
  }

  /** Low 32 bits of r0, or undefined when the kernel does not accept the program. */
  run(spec: ProgramSpec, data: Uint8Array): { retval: number; data: Uint8Array } | undefined {
    const load = KernelProgram.load(spec, { log: 'none', maps: this.mapsOf(spec) });
    if (!load.accepted) return undefined;
    try {
      const { retval, dataOut } = load.program.testRun({ data });
      return { retval, data: dataOut };
    } finally {
      load.program.close();
    }
  }

  close(): void {
    for (const maps of this.maps.values()) for (const map of maps.values()) map.close();
  }

  private mapsOf(spec: ProgramSpec): Map<MapSpec, KernelMap> | undefined {
    if (Object.keys(spec.maps).length === 0) return undefined;
    let maps = this.maps.get(spec.type);
    if (!maps) {
      maps = new Map(Object.values(spec.maps).map(map => [map, KernelMap.create(map)]));
      this.maps.set(spec.type, maps);
    }
    return maps;
  }
}

/** A packet: mostly short, now and then as short as can be. */
export function randomPacket(rng: Rng, least = 14): Uint8Array {
  const data = rng.bytes(rng.chance(0.15) ? least : rng.between(rng.chance(0.3) ? least : 64, 192));
  // Small numbers make lengths and indices that are within bounds.
  if (rng.chance(0.5)) for (let i = 0; i < data.length; i++) data[i] &= rng.pick([3, 15, 63, 255]);
  return data;
}
