/**
 * The disassembler: a program → text that the assembler reads back to the same slots.
 * With numbers and opcodes it looks like the kernel's verifier log; with source, each line of C stands over its code.
 */
import {
  CallKind,
  Class,
  classOf,
  type Insn,
  Jmp,
  OP_CALL,
  OP_CALLX,
  OP_EXIT,
  OP_JA32,
  OP_LDDW,
  Pseudo,
} from '../insn.js';
import type { FuncInfo, LineInfo, ProgramSpec } from '../spec.js';
import { type Names, type Notation, printInsn, slotsAt } from './print.js';

export interface DisassembleOptions {
  notation?: Notation;
  /** Slot number and opcode before each instruction: `12: (bf) r6 = r1`. */
  numbers?: boolean;
  /** Jump targets as labels instead of distances. Default true. */
  labels?: boolean;
  /** Source lines as comments. Default true when there are any. */
  source?: boolean;
  funcs?: readonly FuncInfo[];
  lines?: readonly LineInfo[];
  maps?: ProgramSpec['maps'];
  kfuncs?: ProgramSpec['kfuncs'];
}

/** As disassembleProgram, as data. */
export function listProgram(spec: ProgramSpec, options: DisassembleOptions = {}): ListedInsn[] {
  const { funcs, lines, maps, kfuncs } = spec;
  return listInsns(spec.insns, { funcs, lines, maps, kfuncs, ...options });
}

/** Text of a whole program, with its own names, functions and source lines. */
export function disassembleProgram(spec: ProgramSpec, options: DisassembleOptions = {}): string {
  const { funcs, lines, maps, kfuncs } = spec;
  return disassemble(spec.insns, { funcs, lines, maps, kfuncs, ...options });
}

/** One instruction of a listing: plain data, fit for --json. */
export interface ListedInsn {
  slot: number;
  opcode: number;
  text: string;
  /** Label or function that stands before it. */
  label?: string;
  /** Line of source that begins here. */
  source?: { file: string; line: number; column: number; text: string };
}

/** What `disassemble` prints, as data; the label of the end of the code is left out. */
export function listInsns(insns: readonly Insn[], options: DisassembleOptions = {}): ListedInsn[] {
  const targets = targetsOf(insns, options);
  return list(insns, options, targets);
}

/** Text of slots, one instruction a line, ending in a newline. */
export function disassemble(insns: readonly Insn[], options: DisassembleOptions = {}): string {
  const targets = targetsOf(insns, options);
  const width = String(insns.length).length;
  const out: string[] = [];
  const oneLine = (text: string): string => text.trim().replaceAll(/[\r\n]/g, ' ');
  for (const { slot, opcode, text, label, source } of list(insns, options, targets)) {
    if (label !== undefined) out.push(`${label}:`);
    if (source) out.push(`; ${oneLine(source.text)} @ ${oneLine(source.file)}:${source.line}`);
    const code = isRaw(text) ? '' : `(${opcode.toString(16).padStart(2, '0')}) `;
    out.push(options.numbers ? `${String(slot).padStart(width)}: ${code}${text}` : `\t${text}`);
  }
  // A jump to the end of the code: its label stands after the last instruction.
  const end = targets.get(insns.length);
  if (end !== undefined) out.push(`${end}:`);
  return `${out.join('\n')}\n`;
}

const isRaw = (text: string): boolean => text.startsWith('.8byte');

const targetsOf = (insns: readonly Insn[], options: DisassembleOptions): Map<number, string> =>
  options.labels === false ? new Map() : nameTargets(insns, options.funcs ?? []);

function list(
  insns: readonly Insn[],
  options: DisassembleOptions,
  targets: ReadonlyMap<number, string>,
): ListedInsn[] {
  const { notation = 'kernel', source = true, maps, kfuncs } = options;
  const mapNames = uniqueMapNames(maps);
  const names: Names = {
    map: key => mapNames.get(key),
    kfunc: id => kfuncs?.[id],
    target: slot => targets.get(slot),
  };
  const lines = source ? new Map((options.lines ?? []).map(l => [l.insn, l])) : new Map<number, LineInfo>();
  const out: ListedInsn[] = [];
  let last = '';
  for (let slot = 0; slot < insns.length; ) {
    const text = printInsn(insns, slot, notation, names);
    const row: ListedInsn = { slot, opcode: insns[slot].op, text };
    const label = targets.get(slot);
    if (label !== undefined) row.label = label;
    const line = lines.get(slot);
    if (line && line.text.trim() !== '' && `${line.file}:${line.line}` !== last) {
      last = `${line.file}:${line.line}`;
      row.source = { file: line.file, line: line.line, column: line.column, text: line.text };
    }
    out.push(row);
    slot += isRaw(text) ? 1 : slotsAt(insns, slot);
  }
  return out;
}

/** Names of maps that a text can refer to: the assembler knows a map by its name alone. */
function uniqueMapNames(maps: ProgramSpec['maps'] | undefined): Map<number, string> {
  const names = new Map<number, string>();
  const seen = new Map<string, number>();
  for (const spec of Object.values(maps ?? {})) seen.set(spec.name, (seen.get(spec.name) ?? 0) + 1);
  for (const [key, spec] of Object.entries(maps ?? {}))
    if (seen.get(spec.name) === 1 && spec.name !== '' && !/["\n\r;]/.test(spec.name))
      names.set(Number(key), spec.name);
  return names;
}

/** Label of every slot that something jumps to, calls or takes the address of. */
function nameTargets(insns: readonly Insn[], funcs: readonly FuncInfo[]): Map<number, string> {
  const second = new Set<number>();
  for (let at = 0; at < insns.length; at += slotsAt(insns, at))
    if (slotsAt(insns, at) === 2) second.add(at + 1);
  const named = new Map<number, string>();
  const taken = new Set<string>();
  for (const { insn, name } of funcs) {
    const usable = /^[A-Za-z_$][\w.$]*$/.test(name) && !isWord(name) && !taken.has(name);
    const label = usable ? name : `func_${insn}`;
    taken.add(label);
    if (!named.has(insn) && insn < insns.length && !second.has(insn)) named.set(insn, label);
  }
  const add = (slot: number, name: string): void => {
    // Into the middle of an LDDW or out of the program: a distance says it, a label cannot.
    if (slot < 0 || slot > insns.length || second.has(slot) || named.has(slot)) return;
    named.set(slot, taken.has(name) ? `${name}_${slot}` : name);
  };
  insns.forEach((insn, at) => {
    if (second.has(at)) return;
    const { op, src, off, imm } = insn;
    if (op === OP_CALL && src === CallKind.LOCAL) add(at + 1 + imm, `func_${at + 1 + imm}`);
    else if (op === OP_LDDW && src === Pseudo.FUNC) add(at + 1 + imm, `func_${at + 1 + imm}`);
    else if (op === OP_JA32) add(at + 1 + imm, `L${at + 1 + imm}`);
    else if (isJump(op)) add(at + 1 + off, `L${at + 1 + off}`);
  });
  return named;
}

const isJump = (op: number): boolean =>
  (classOf(op) === Class.JMP || classOf(op) === Class.JMP32) &&
  op !== OP_EXIT &&
  op !== OP_CALLX &&
  (op & 0xf0) !== Jmp.CALL &&
  (op & 0xf0) !== Jmp.EXIT;

/** Words that the assembler reads as something else than a label. */
const isWord = (name: string): boolean => /^([rw](10|\d)|pc|ll|kfunc|skb|id|idx)$/.test(name);
