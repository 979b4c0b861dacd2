/** What all passes of one compilation share: the instructions, the mode, the facts, the maps, the helpers. */
import { EtherloomError } from '../../errors.js';
import type { Insn } from '../insn.js';
import type { ProgramSpec } from '../spec.js';
import type { Fact, JitFacts } from '../verify/verified.js';
import type { BoundMap, MapBinding } from './compiled.js';

/** Facts that say nothing: the JIT must be correct with them. */
export const noFacts: JitFacts = {
  reached: () => true,
  fact: () => undefined,
  branch: () => ({ taken: true, fallthrough: true }),
  made: () => undefined,
};

const POINTERS: ReadonlySet<Fact['kind']> = new Set([
  'ctx',
  'stack',
  'packet',
  'packet_end',
  'map_value',
  'map_ptr',
  'mem',
  'null_or_ptr',
]);

/** Is it an arena address (or NULL): below 2^32? */
export const isPointer = (fact: Fact | undefined): boolean => fact !== undefined && POINTERS.has(fact.kind);

export interface Program {
  spec: ProgramSpec;
  insns: readonly Insn[];
  mode: 'verified' | 'guarded';
  facts: JitFacts;
  maps: MapBinding;
  /** Bound map whose header is at this address. */
  mapAt(addr: bigint): BoundMap | undefined;
  /** Bytes of a frozen map that start at `addr`, when all `size` of them are constants. */
  constantBytes(addr: bigint, size: number): bigint | undefined;
  /** Guarded mode: helpers by number, each `(i64 × 5) → i64`. */
  guardedHelpers: ReadonlyMap<number, string>;
  /** Guarded mode: helpers that CALLX reaches, by number. */
  callxHelpers: ReadonlyMap<number, string>;
}

function frozenBytes(maps: MapBinding): { lo: bigint; bytes: Uint8Array }[] {
  return Object.values(maps)
    .filter(m => m.spec.frozen && m.spec.contents && m.dataAt !== undefined)
    .map(m => ({ lo: BigInt(m.dataAt!), bytes: m.spec.contents! }));
}

export function makeProgram(
  spec: ProgramSpec,
  mode: 'verified' | 'guarded',
  facts: JitFacts,
  maps: MapBinding,
  guardedHelpers: ReadonlyMap<number, string> = new Map(),
  callxHelpers: ReadonlyMap<number, string> = new Map(),
): Program {
  const byAddress = new Map(Object.values(maps).map(m => [BigInt(m.addr), m]));
  const frozen = frozenBytes(maps);
  return {
    spec,
    insns: spec.insns,
    mode,
    facts,
    maps,
    guardedHelpers,
    callxHelpers,
    mapAt: addr => byAddress.get(addr),
    constantBytes(addr, size) {
      const holder = frozen.find(r => addr >= r.lo && addr + BigInt(size) <= r.lo + BigInt(r.bytes.length));
      if (!holder) return undefined;
      let v = 0n;
      const at = Number(addr - holder.lo);
      for (let i = size - 1; i >= 0; i--) v = (v << 8n) | BigInt(holder.bytes[at + i]);
      return v;
    },
  };
}

/** An instruction that this mode cannot compile. */
export const refuse = (
  program: Program,
  pc: number,
  what: string,
  code = 'ERR_JIT_UNSUPPORTED',
): EtherloomError =>
  new EtherloomError(code, `instruction ${pc}: ${what}`, { file: program.spec.name, offset: pc });
