/**
 * One program whose packets are orders to the timer of a map value, on three engines: JIT, interpreter, real kernel.
 *
 *   packet   │ 16: op u32 │ 20: key u32 │ 24: a u64 │ 32: b u64 │          value   │ bpf_timer │ fired u64 │ extra i64 │
 */
import { assembleSpec } from '../../../host/bpf/asm/spec.js';
import { Collection, HostPrograms } from '../../../host/bpf/collection.js';
import { KernelMap } from '../../../host/bpf/kernel/map.js';
import { KernelProgram } from '../../../host/bpf/kernel/program.js';
import type { KeyedMap } from '../../../host/bpf/maps/index.js';
import { collectionOf } from '../../../host/bpf/open.js';
import type { CollectionSpec, MapSpec, ProgramSpec } from '../../../host/bpf/spec.js';
import { testRun } from '../../../host/engine/test_collection.js';
import { mapsOf } from '../corpus/maps.js';

export const Op = {
  INIT: 0,
  /** a: 0 counts, 1 counts and starts itself after `extra` ns, 2 counts and notes what cancelling itself gives,
   * 3 counts and deletes its element, 4 sets fired to the time and extra to the number of firings in all, 5 to the lane. */
  CALLBACK: 1,
  START: 2,
  CANCEL: 3,
  /** r0 = fired. */
  FIRED: 4,
  DELETE: 5,
  /** Zeroes by map_update_elem with flags a. */
  UPDATE: 6,
  /** r0 = low half of extra. */
  EXTRA: 7,
  /** extra = a. */
  SET_EXTRA: 8,
} as const;

export const EPERM = -1;
export const ENOENT = -2;
export const EBUSY = -16;
export const EINVAL = -22;
export const EDEADLK = -35;

export const MONOTONIC = 1n;
/** Flags of bpf_timer_start. */
export const ABS = 1n;
export const NET_TX = 1n << 32n;
export const IMMEDIATE = 1n << 33n;
export const PACER = 1n << 34n;
export const MS = 1_000_000n;

const TEXT = `
    r6 = *(u32 *)(r1 + 4)
    r7 = *(u32 *)(r1 + 0)
    r2 = r7
    r2 += 40
    if r2 > r6 goto bad
    r8 = *(u32 *)(r7 + 16)
    r9 = *(u64 *)(r7 + 24)
    r2 = *(u64 *)(r7 + 32)
    *(u64 *)(r10 - 16) = r2
    r2 = *(u32 *)(r7 + 20)
    *(u32 *)(r10 - 4) = r2
    if r8 == 5 goto delete
    if r8 == 6 goto update
    r2 = r10
    r2 += -4
    r1 = map[m]
    call map_lookup_elem
    if r0 == 0 goto none
    r1 = r0
    if r8 == 0 goto init
    if r8 == 1 goto callback
    if r8 == 2 goto start
    if r8 == 3 goto cancel
    if r8 == 4 goto fired
    if r8 == 7 goto extra
    if r8 == 8 goto set_extra
bad:
    r0 = 77
    exit
none:
    r0 = -2
    exit
init:
    r2 = map[m]
    r3 = r9
    call timer_init
    exit
callback:
    if r9 == 1 goto periodic
    if r9 == 2 goto suicidal
    if r9 == 3 goto deleting
    if r9 == 4 goto stamping
    if r9 == 5 goto placing
    r2 = subprog[counts]
    call timer_set_callback
    exit
periodic:
    r2 = subprog[repeats]
    call timer_set_callback
    exit
suicidal:
    r2 = subprog[cancels]
    call timer_set_callback
    exit
deleting:
    r2 = subprog[deletes]
    call timer_set_callback
    exit
placing:
    r2 = subprog[places]
    call timer_set_callback
    exit
stamping:
    r2 = subprog[stamps]
    call timer_set_callback
    exit
start:
    r2 = r9
    r3 = *(u64 *)(r10 - 16)
    call timer_start
    exit
cancel:
    call timer_cancel
    exit
fired:
    r0 = *(u32 *)(r1 + 16)
    exit
extra:
    r0 = *(u32 *)(r1 + 24)
    exit
set_extra:
    *(u64 *)(r1 + 24) = r9
    r0 = 0
    exit
delete:
    r2 = r10
    r2 += -4
    r1 = map[m]
    call map_delete_elem
    exit
update:
    r1 = 0
    *(u64 *)(r10 - 24) = r1
    *(u64 *)(r10 - 32) = r1
    *(u64 *)(r10 - 40) = r1
    *(u64 *)(r10 - 48) = r1
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -48
    r4 = r9
    r1 = map[m]
    call map_update_elem
    exit
counts:
    r1 = *(u64 *)(r3 + 16)
    r1 += 1
    *(u64 *)(r3 + 16) = r1
    r0 = 0
    exit
repeats:
    r1 = *(u64 *)(r3 + 16)
    r1 += 1
    *(u64 *)(r3 + 16) = r1
    r2 = *(u64 *)(r3 + 24)
    r1 = r3
    r3 = 0
    call timer_start
    r0 = 0
    exit
cancels:
    r6 = r3
    r1 = *(u64 *)(r6 + 16)
    r1 += 1
    *(u64 *)(r6 + 16) = r1
    r1 = r6
    call timer_cancel
    *(u64 *)(r6 + 24) = r0
    r0 = 0
    exit
places:
    r6 = r3
    call ktime_get_ns
    *(u64 *)(r6 + 16) = r0
    call get_smp_processor_id
    *(u64 *)(r6 + 24) = r0
    r0 = 0
    exit
stamps:
    r6 = r3
    call ktime_get_ns
    *(u64 *)(r6 + 16) = r0
    r1 = map[s][0]+0
    r2 = *(u64 *)(r1 + 0)
    r2 += 1
    *(u64 *)(r1 + 0) = r2
    *(u64 *)(r6 + 24) = r2
    r0 = 0
    exit
deletes:
    r4 = *(u64 *)(r3 + 16)
    r4 += 1
    *(u64 *)(r3 + 16) = r4
    call map_delete_elem
    r0 = 0
    exit
`;

/** The program over a map of that word (corpus/maps.ts). */
export function ordersSpec(word = 'm=array/4/timer+16/8'): ProgramSpec {
  const [m, s] = Object.values(mapsOf([word, 's=array/4/8/1']));
  return assembleSpec(TEXT, { name: 'orders', mapSpecs: { m, s } });
}

export const ordersCollection = (word?: string): CollectionSpec => collectionOf(ordersSpec(word), 'orders');

/** A packet that orders `op`. */
export function order(op: number, key = 0, a: bigint | number = 0, b: bigint | number = 0): Uint8Array {
  const packet = new Uint8Array(64);
  const view = new DataView(packet.buffer);
  view.setUint32(16, op, true);
  view.setUint32(20, key, true);
  view.setBigUint64(24, BigInt.asUintN(64, BigInt(a)), true);
  view.setBigUint64(32, BigInt.asUintN(64, BigInt(b)), true);
  return packet;
}

/** An engine that takes orders, and whose time can go on. */
export interface Timed {
  readonly name: string;
  /** r0, signed. */
  do(op: number, key?: number, a?: bigint | number, b?: bigint | number): number;
  /** Time goes on by `ms`. */
  wait(ms: number): Promise<void>;
  /** User space writes zeroes. */
  set(key: number, flags?: number): void;
  /** User space reads. */
  get(key: number): Uint8Array | undefined;
  delete(key: number): boolean;
  /** User space lets the map go; the program holds it. */
  letGo(): void;
  close(): Promise<void>;
}

const key4 = (key: number): Uint8Array => new Uint8Array(Uint32Array.of(key).buffer);

/** Ours, in a virtual time of its own that starts at 1 s. */
export class Here implements Timed {
  nowNs = 1_000_000_000n;
  /** Timers fired in all. */
  fired = 0;

  private constructor(
    readonly name: 'jit' | 'interp',
    readonly host: HostPrograms,
    readonly collection: Collection,
  ) {}

  static async open(name: 'jit' | 'interp', word?: string, mapBytes = 1 << 20): Promise<Here> {
    const host = HostPrograms.create({ mapBytes });
    return new Here(name, host, await Collection.load(ordersCollection(word), host));
  }

  get map(): KeyedMap {
    return this.collection.map<KeyedMap>('m');
  }

  #run(packet: Uint8Array, advanceNs?: bigint): number {
    const { nowNs, name: engine } = this;
    const result = testRun(this.collection, packet, {
      engine,
      nowNs,
      ...(advanceNs === undefined ? {} : { advanceNs }),
    });
    this.fired += result.timers;
    return result.retval | 0;
  }

  do(op: number, key?: number, a?: bigint | number, b?: bigint | number): number {
    return this.#run(order(op, key, a, b));
  }

  advance(ns: bigint): void {
    this.#run(order(99), ns);
    this.nowNs += ns;
  }

  async wait(ms: number): Promise<void> {
    this.advance(BigInt(ms) * MS);
  }

  set(key: number, flags = 0): void {
    this.map.set(key4(key), new Uint8Array(this.map.valueSize), flags);
  }

  get(key: number): Uint8Array | undefined {
    return this.map.getBytes(key4(key));
  }

  delete(key: number): boolean {
    return this.map.delete(key4(key));
  }

  letGo(): void {
    this.map.releaseTimers();
  }

  async close(): Promise<void> {
    await this.collection.close();
  }
}

/** The real kernel, in real time. */
export class InKernel implements Timed {
  readonly name = 'kernel';
  readonly #map: KernelMap;
  readonly #program: KernelProgram;
  #open = true;

  constructor(word?: string) {
    const spec = ordersSpec(word);
    const mapSpec = Object.values(spec.maps).find(m => m.name === 'm') as MapSpec;
    this.#map = KernelMap.create(mapSpec);
    const load = KernelProgram.load(spec, { maps: new Map([[mapSpec, this.#map]]) });
    if (!load.accepted) throw new Error(`the kernel refuses the orders: ${load.reason}\n${load.log}`);
    this.#program = load.program;
  }

  do(op: number, key?: number, a?: bigint | number, b?: bigint | number): number {
    return this.#program.testRun({ data: order(op, key, a, b) }).retval | 0;
  }

  async wait(ms: number): Promise<void> {
    await new Promise(done => setTimeout(done, ms + 2));
  }

  set(key: number, flags = 0): void {
    this.#map.update(key4(key), new Uint8Array(32), flags);
  }

  get(key: number): Uint8Array | undefined {
    return this.#map.lookup(key4(key));
  }

  delete(key: number): boolean {
    return this.#map.delete(key4(key));
  }

  letGo(): void {
    this.#open = false;
    this.#map.close();
  }

  async close(): Promise<void> {
    if (this.#open) this.#map.close();
    this.#program.close();
  }
}
