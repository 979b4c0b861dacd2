/** What a call instruction of a verified (or being verified) program calls, when that is no function of the program. */
import { type Helper, helperById } from './helpers.js';
import { CallKind, type Insn } from './insn.js';
import { type Kfunc, kfuncById } from './kfuncs.js';

/** The helper or kfunc that a CALL names; undefined for local calls and for what we do not have. */
export function calleeOf(insn: Insn): Helper | Kfunc | undefined {
  if (insn.src === CallKind.HELPER) return helperById.get(insn.imm);
  return insn.src === CallKind.KFUNC ? kfuncById(insn.imm) : undefined;
}
