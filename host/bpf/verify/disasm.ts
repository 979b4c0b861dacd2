/** One instruction as text, for errors and the log: the disassembler with the names of a spec. */
import { printInsn } from '../asm/print.js';
import { OP_LDDW } from '../insn.js';
import type { ProgramSpec } from '../spec.js';

export function disassembleInsn(spec: ProgramSpec, at: number): string {
  if (at < 0 || at >= spec.insns.length) return '(no instruction)';
  if (at > 0 && spec.insns[at].op === 0 && spec.insns[at - 1].op === OP_LDDW) at--;
  try {
    return printInsn(spec.insns, at, 'kernel', { kfunc: id => spec.kfuncs?.[id] });
  } catch {
    // Not well formed: that is what is being reported.
    const { op, dst, src, off, imm } = spec.insns[at];
    return `(op 0x${op.toString(16)} dst ${dst} src ${src} off ${off} imm ${imm})`;
  }
}
