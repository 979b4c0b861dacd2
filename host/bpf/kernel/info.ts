/**
 * func_info and line_info for the kernel. It wants BTF of every subprogram before it allows callbacks, global
 * functions, or tail calls inside subprograms; a hand-written program without types gets `static int f(void)` for
 * each when it passes callbacks, since it could not be loaded at all without.
 */
import type { Btf, BtfType } from '../btf/btf.js';
import { CallKind, OP_CALL, OP_LDDW, Pseudo } from '../insn.js';
import type { ProgramSpec } from '../spec.js';
import { type EncodedBtf, encodeBtf } from './btf.js';

export interface ProgramInfo {
  btf: EncodedBtf;
  /** struct bpf_func_info[]: insn_off, type_id. */
  funcs: Uint8Array;
  /** struct bpf_line_info[]: insn_off, file_name_off, line_off, line << 10 | column. */
  lines: Uint8Array | undefined;
}

/** First instructions of all subprograms, in order: call targets and callbacks. */
export function subprogramStarts(spec: ProgramSpec): { starts: number[]; callbacks: boolean } {
  const starts = new Set([0]);
  let callbacks = false;
  spec.insns.forEach((insn, i) => {
    if (i > 0 && spec.insns[i - 1].op === OP_LDDW) return;
    const callback = insn.op === OP_LDDW && insn.src === Pseudo.FUNC;
    callbacks ||= callback;
    if (callback || (insn.op === OP_CALL && insn.src === CallKind.LOCAL)) starts.add(i + insn.imm + 1);
  });
  return { starts: [...starts].sort((a, b) => a - b), callbacks };
}

/** Types of a whole object, encoded with the lines of all its programs: what maps that hold objects share with them. */
export const objectTypes = (btf: Btf, programs: readonly ProgramSpec[]): EncodedBtf =>
  encodeBtf(
    btf,
    programs.flatMap(p => linesFor(p, subprogramStarts(p).starts)).flatMap(row => [row.file, row.text]),
  );

/** `shared`: the types, if they are encoded already. */
export function programInfo(spec: ProgramSpec, shared?: EncodedBtf): ProgramInfo | undefined {
  const { starts, callbacks } = subprogramStarts(spec);
  const known = new Map(spec.funcs?.map(f => [f.insn, f]));
  const typed = spec.btf !== undefined && starts.every(start => (known.get(start)?.typeId ?? 0) > 0);
  if (!typed && !callbacks) return undefined;

  const types: BtfType[] = [...(spec.btf?.types ?? [{ kind: 'void' as const }])];
  const funcWords = starts.flatMap(start => {
    const func = known.get(start);
    return [start, func?.typeId && spec.btf ? func.typeId : addFunc(types, func?.name ?? `f_${start}`)];
  });
  const btf: Btf = { types };
  const rows = linesFor(spec, starts);
  const encoded =
    (typed ? shared : undefined) ??
    encodeBtf(
      btf,
      rows.flatMap(row => [row.file, row.text]),
    );
  const lineWords = rows.flatMap(row => [
    row.insn,
    encoded.offsetOf(row.file),
    encoded.offsetOf(row.text),
    ((row.line << 10) | (row.column & 0x3ff)) >>> 0,
  ]);
  return { btf: encoded, funcs: words(funcWords), lines: rows.length ? words(lineWords) : undefined };
}

/** `static int name(void)`; returns its type id. */
function addFunc(types: BtfType[], name: string): number {
  const int = types.length;
  types.push({
    kind: 'int',
    name: 'int',
    size: 4,
    bits: 32,
    bitOffset: 0,
    signed: true,
    char: false,
    bool: false,
  });
  types.push({ kind: 'func_proto', ret: int, params: [] });
  types.push({ kind: 'func', name: name.replace(/\W/g, '_'), type: int + 1, linkage: 'static' });
  return int + 2;
}

/** The kernel takes lines only in order, none at a second LDDW slot, and one at each subprogram's start. */
function linesFor(spec: ProgramSpec, starts: number[]) {
  const rows = (spec.lines ?? [])
    .filter(
      row => row.insn < spec.insns.length && (row.insn === 0 || spec.insns[row.insn - 1].op !== OP_LDDW),
    )
    .sort((a, b) => a.insn - b.insn)
    .filter((row, i, all) => i === 0 || row.insn !== all[i - 1].insn);
  return starts.every(start => rows.some(row => row.insn === start)) ? rows : [];
}

function words(values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}
