/**
 * State whose layout changes: a program of section `migrate/MAP` that the new object brings, called once for each value of
 * the map that was, on the host's thread, while every lane stands still. It is verified like others, as XDP, and what it sees
 * as the packet are the values and keys, each from a multiple of 8 on:
 *
 *   ctx->data │ old value │ new value │ old key │ new key │ ctx->data_end        ctx->rx_queue_index: which copy, of per-CPU maps
 *
 * Members that both layouts have under one name, of one type, stand in the new value already, at their new place; the rest is
 * 0. It returns MIGRATE_KEEP, or MIGRATE_DROP for a value that is not to be taken over; anything else ends the upgrade.
 */
import type { TypeIn } from '../../bpf/btf/compare.js';
import { typeDifferences } from '../../bpf/btf/compare.js';
import { layout, resolve, sizeOf } from '../../bpf/btf/types.js';
import { isPerCpu } from '../../bpf/maps/check.js';
import type { BpfMap, KeyedMap } from '../../bpf/maps/index.js';
import type { MapSpec, ProgramSpec } from '../../bpf/spec.js';
import { mapInfo } from '../../bpf/verify/maps.js';
import type { Engine } from '../../engine/engine.js';
import type { LoadedProgram } from '../../engine/program.js';
import { EtherloomError } from '../../errors.js';
import { XdpContextLayout, XdpContextView } from '../../layout/layout.gen.js';

const SECTION = /^migrate\/(.+)$/;
const TYPES: ReadonlySet<string> = new Set([
  ...['array', 'percpu_array', 'hash', 'lru_hash', 'percpu_hash', 'lru_percpu_hash'],
]);
/** Of what the program returns. */
const KEEP = 0;
const DROP = 1;
/** Programs reach no further into a packet (MAX_PACKET_OFF). */
const MOST_BYTES = 0xffff;

/** Name of the map that a program migrates; undefined for any other program. */
export const migrates = ({ section }: ProgramSpec): string | undefined => SECTION.exec(section ?? '')?.[1];

const refuse = (message: string, expected?: string): EtherloomError =>
  new EtherloomError('ERR_UPGRADE_MIGRATION', message, expected === undefined ? {} : { expected });

/** Why values of a map cannot be migrated whatever a program does; undefined when they can. */
export function immovable(before: MapSpec, after: MapSpec): string | undefined {
  for (const spec of [before, after]) {
    if (!TYPES.has(spec.type)) return `a ${spec.type} cannot be migrated`;
    // With kptrs and roots of lists and trees, of which only the record knows.
    const special = mapInfo(spec, 0).special.map(({ name, off }) => `${name} at offset ${off}`);
    if (special.length)
      return `its values hold what cannot be moved (${special.join(', ')}): keep their layout, or let them go (fresh)`;
  }
  if (before.type !== after.type) return 'another type of map';
  const { bytes } = placesOf(before, after);
  return bytes > MOST_BYTES ? `values and keys of ${bytes} bytes, more than ${MOST_BYTES}` : undefined;
}

const up8 = (n: number): number => Math.ceil(n / 8) * 8;

function placesOf(before: MapSpec, after: MapSpec) {
  const newValue = up8(before.valueSize);
  const oldKey = newValue + up8(after.valueSize);
  const newKey = oldKey + up8(before.keySize);
  return { oldValue: 0, newValue, oldKey, newKey, bytes: newKey + up8(after.keySize) };
}

/** Bytes that stand in both layouts: from, to, how many. */
export type Move = readonly [from: number, to: number, bytes: number];

/** What of one type is found again in the other, by names of members. Bit fields are the program's affair. */
export function movesOf(before: TypeIn | undefined, after: TypeIn | undefined): Move[] {
  if (!before || !after) return [];
  const out: Move[] = [];
  const visit = (a: TypeIn, b: TypeIn, from: number, to: number, depth: number): void => {
    if (typeDifferences(a, b).length === 0) {
      out.push([from, to, sizeOf(a.btf, a.id)]);
      return;
    }
    if (depth > 8) return;
    const now = membersOf(b);
    for (const [name, m] of membersOf(a)) {
      const n = now.get(name);
      if (n) visit({ btf: a.btf, id: m.type }, { btf: b.btf, id: n.type }, from + m.at, to + n.at, depth + 1);
    }
  };
  visit(before, after, 0, 0, 0);
  return out;
}

/** Members of a structure, or variables of a section; of anything else none. */
function membersOf({ btf, id }: TypeIn): Map<string, { type: number; at: number }> {
  const type = resolve(btf, id);
  const out = new Map<string, { type: number; at: number }>();
  if (type.kind === 'struct' || type.kind === 'union') {
    for (const m of layout(btf, id))
      if (!m.bitSize && m.bitOffset % 8 === 0) out.set(m.name, { type: m.type, at: m.bitOffset / 8 });
  } else if (type.kind === 'datasec')
    for (const v of type.vars) {
      const variable = btf.types[v.type];
      if (variable?.kind === 'var') out.set(variable.name, { type: variable.type, at: v.offset });
    }
  return out;
}

const typeIn = ({ btf }: MapSpec, id: 'keyId' | 'valueId'): TypeIn | undefined =>
  btf?.[id] ? { btf: btf.types, id: btf[id] } : undefined;

/** One map's values on their way into another map. */
export class Migration {
  /** Values that were rewritten. */
  values = 0;
  readonly #places: ReturnType<typeof placesOf>;
  readonly #at: number;
  readonly #ctx: number;
  readonly #valueMoves: Move[];
  readonly #keyMoves: Move[];

  constructor(
    readonly engine: Engine,
    readonly program: LoadedProgram,
    readonly from: BpfMap,
    readonly to: BpfMap,
  ) {
    this.#places = placesOf(from.spec, to.spec);
    const { maps } = engine.arena;
    this.#at = maps.alloc(this.#places.bytes, 64, `the migration of ${from.name}`);
    this.#ctx = maps.alloc(XdpContextLayout.size, 64);
    const types = (id: 'keyId' | 'valueId'): Move[] => movesOf(typeIn(from.spec, id), typeIn(to.spec, id));
    this.#valueMoves = types('valueId');
    this.#keyMoves =
      from.keySize === to.keySize && !from.spec.btf?.keyId ? [[0, 0, from.keySize]] : types('keyId');
    if (!this.#keyMoves.length && from.keySize === to.keySize) this.#keyMoves = [[0, 0, from.keySize]];
  }

  /** Rewrites all values. While no lane runs. @throws EtherloomError ERR_UPGRADE_MIGRATION, ERR_MAP_* */
  run(): void {
    this.engine.core.exports.clock_set(this.engine.now());
    if (this.from.dataAt !== undefined) this.#array();
    else this.#table();
  }

  free(): void {
    this.engine.arena.maps.free(this.#ctx);
    this.engine.arena.maps.free(this.#at);
  }

  /** Elements in place; those that the new map has no room for are not taken over. */
  #array(): void {
    const { u8, dv } = this.engine.arena;
    const { from, to } = this;
    const copies = isPerCpu(from.type) ? this.engine.laneCount + 1 : 1;
    const key = new Uint8Array(4);
    for (let i = 0; i < Math.min(from.maxEntries, to.maxEntries); i++)
      for (let copy = 0; copy < copies; copy++) {
        const place = (map: BpfMap): number => map.dataAt! + i * map.stride! + copy * (map.laneStride ?? 0);
        new DataView(key.buffer).setUint32(0, i, true);
        const old = place(from);
        if (!this.#one(u8.slice(old, old + from.valueSize), key, copy, i)) continue;
        const { newValue, newKey } = this.#places;
        if (dv.getUint32(this.#at + newKey, true) !== i)
          throw this.#failed(i, 'it changed the index of an array’s element');
        u8.copyWithin(place(to), this.#at + newValue, this.#at + newValue + to.valueSize);
      }
  }

  #table(): void {
    const { u8 } = this.engine.arena;
    const from = this.from as unknown as KeyedMap;
    const to = this.to as unknown as KeyedMap;
    const { newValue, newKey } = this.#places;
    const [oldStride, newStride] = [up8(this.from.valueSize), up8(this.to.valueSize)];
    const perCpu = isPerCpu(this.from.type);
    let n = 0;
    for (const [key, value] of from.rawEntries()) {
      const copies = perCpu ? value.length / oldStride : 1;
      const made = new Uint8Array(perCpu ? copies * newStride : this.to.valueSize);
      let kept = false;
      for (let copy = 0; copy < copies; copy++) {
        const one = value.subarray(copy * oldStride, copy * oldStride + this.from.valueSize);
        if (!this.#one(one, key, copy, n)) continue;
        kept = true;
        made.set(u8.subarray(this.#at + newValue, this.#at + newValue + this.to.valueSize), copy * newStride);
      }
      if (kept) to.set(u8.slice(this.#at + newKey, this.#at + newKey + this.to.keySize), made);
      n++;
    }
  }

  /** Lays one value out, and runs the program over it. Whether it is kept. */
  #one(value: Uint8Array, key: Uint8Array, copy: number, element: number): boolean {
    const { u8, dv } = this.engine.arena;
    const { bytes, newValue, oldKey, newKey } = this.#places;
    const at = this.#at;
    u8.fill(0, at, at + bytes);
    u8.set(value, at);
    u8.set(key, at + oldKey);
    for (const [f, t, n] of this.#valueMoves) u8.copyWithin(at + newValue + t, at + f, at + f + n);
    for (const [f, t, n] of this.#keyMoves)
      u8.copyWithin(at + newKey + t, at + oldKey + f, at + oldKey + f + n);
    u8.fill(0, this.#ctx, this.#ctx + XdpContextLayout.size);
    const ctx = new XdpContextView(dv, this.#ctx);
    ctx.data = at;
    ctx.dataMeta = at;
    ctx.dataEnd = at + bytes;
    ctx.hardStart = at;
    ctx.frameEnd = at + bytes;
    ctx.rxQueueIndex = copy;
    const r0 = Number(
      BigInt.asUintN(32, this.engine.core.exports.test_run_xdp(this.program.run, this.#ctx, 1)),
    );
    if (r0 !== KEEP && r0 !== DROP)
      throw this.#failed(element, `it returned ${r0 | 0}, ${KEEP} is to keep a value, ${DROP} to drop it`);
    if (ctx.data !== at || ctx.dataEnd !== at + bytes)
      throw this.#failed(element, 'it moved the ends of its packet');
    if (r0 === KEEP) this.values++;
    return r0 === KEEP;
  }

  #failed(element: number, why: string): EtherloomError {
    return refuse(`${this.program.name} at element ${element} of map "${this.from.name}": ${why}`);
  }
}

/** As an XDP program, which it is verified as. @throws EtherloomError ERR_UPGRADE_MIGRATION for one that calls kernel functions */
export function asProgram(program: ProgramSpec): ProgramSpec {
  const called = Object.values(program.kfuncs ?? {});
  if (called.length)
    throw refuse(
      `${program.name} calls ${called.join(', ')}`,
      'no kernel functions: no lane is there to run them',
    );
  return { ...program, type: 'xdp', section: 'xdp' };
}
