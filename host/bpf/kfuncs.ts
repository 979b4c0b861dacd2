/**
 * THE kfunc table: kernel functions, by which this engine is extended. Each is a C prototype, some flags and an export
 * of the core (or several); verifier, both engines, the ELF loader, bpf-progs/include/kfuncs.gen.h and the README's
 * list read it. Rows stand in kfuncs/ by subject.
 */
import { EtherloomError } from '../errors.js';
import { CallKind, type Insn, OP_CALL } from './insn.js';
import { ccKfuncs } from './kfuncs/cc.js';
import type { Kfunc } from './kfuncs/kfunc.js';
import { objectKfuncs } from './kfuncs/objects.js';
import { packetKfuncs } from './kfuncs/packet.js';
import { pktQueueKfuncs } from './kfuncs/pkt_queue.js';
import { rcuKfuncs } from './kfuncs/rcu.js';
import { readyKfuncs } from './kfuncs/ready.js';
import { streamKfuncs } from './kfuncs/stream.js';
import { transportKfuncs } from './kfuncs/transport.js';
import type { ProgramType } from './spec.js';

export type { Kfunc, KfuncArg, KfuncResult, ObjectField, ObjectType } from './kfuncs/kfunc.js';
export { objectTypes } from './kfuncs/kfunc.js';

/** Numbers in verified programs: apart from helpers' and from what files use, so that a mistaken number stands out. */
const FIRST_ID = 0x4b46_0000;

const byId: Kfunc[] = [];
const byName = new Map<string, Kfunc>();
const byExport = new Map<string, Kfunc>();

/**
 * Adds rows to the table, for programs that are verified from then on. The core must have their exports.
 * @throws EtherloomError ERR_KFUNC_ROW when a name is there already
 */
export function registerKfuncs(rows: readonly Omit<Kfunc, 'id'>[]): readonly Kfunc[] {
  return rows.map(row => {
    if (byName.has(row.name)) throw new EtherloomError('ERR_KFUNC_ROW', `there are two kfuncs ${row.name}`);
    const kfunc = Object.freeze({ ...row, id: FIRST_ID + byId.length });
    byId.push(kfunc);
    byName.set(kfunc.name, kfunc);
    byExport.set(kfunc.wasm.name, kfunc);
    return kfunc;
  });
}

/** The engine's own. */
export const kfuncs: readonly Kfunc[] = registerKfuncs([
  ...packetKfuncs,
  ...rcuKfuncs,
  ...readyKfuncs,
  ...pktQueueKfuncs,
  ...streamKfuncs,
  ...transportKfuncs,
  ...ccKfuncs,
  ...objectKfuncs,
]);

export const kfuncById = (id: number): Kfunc | undefined => byId[id - FIRST_ID];
export const kfuncByName = (name: string): Kfunc | undefined => byName.get(name);
/** One that the core's export `name` implements. */
export const kfuncByExport = (name: string): Kfunc | undefined => byExport.get(name);

/** Names of those that programs of a type may call. */
export const kfuncNames = (type: ProgramType): string[] =>
  [...byName.values()].filter(k => k.types.includes(type)).map(k => k.name);

/** The README's table of kfuncs: one row each, in order of their names. */
export function kfuncListMarkdown(): string {
  const rows = [...kfuncs]
    .sort((x, y) => (x.name < y.name ? -1 : 1))
    .map(k => `| \`${k.prototype}\` | ${k.types.join(', ')} | ${k.gpl ? 'GPL' : ''} | ${k.doc} |`);
  return ['| kfunc | programs | licence | what it does |', '|---|---|---|---|', ...rows, ''].join('\n');
}

export const isKfuncCall = (insn: Insn): boolean => insn.op === OP_CALL && insn.src === CallKind.KFUNC;

/**
 * Gives calls of known kfuncs the table's number in place of the file's, in `insns`; returns the names by number.
 * Calls of unknown ones stay as they are: dead code may hold them.
 */
export function bindKfuncs(
  insns: Insn[],
  names: Readonly<Record<number, string>> = {},
): Record<number, string> {
  const bound: Record<number, string> = {};
  for (const insn of insns) {
    if (!isKfuncCall(insn)) continue;
    const name = Object.hasOwn(names, insn.imm) ? names[insn.imm] : undefined;
    const kfunc = name === undefined ? undefined : kfuncByName(name);
    if (kfunc) insn.imm = kfunc.id;
    // A number of ours without the name: not what it seems.
    else if (kfuncById(insn.imm)) insn.imm = 0;
    if (name !== undefined && (kfunc || insn.imm !== 0)) bound[insn.imm] = name;
  }
  return bound;
}
