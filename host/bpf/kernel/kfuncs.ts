/**
 * Kernel functions and structures by name: their ids in the kernel's own BTF, which is what a call to one, or a struct_ops
 * program, says. Read once, lazily; only names are taken out of its 5 MB.
 */
import { readFileSync } from 'node:fs';
import { EtherloomError } from '../../errors.js';
import type { Insn } from '../insn.js';
import { isKfuncCall } from '../kfuncs.js';
import type { ProgramSpec } from '../spec.js';

const VMLINUX = '/sys/kernel/btf/vmlinux';
const STRUCT = 4;
const FUNC = 12;
/** Bytes behind the 12 of each type, by kind: once, and for each of its members. */
const EXTRA: readonly (readonly [once: number, each: number])[] = [
  [0, 0], [4, 0], [0, 0], [12, 0], [0, 12], [0, 12], [0, 8], [0, 0], [0, 0], [0, 0],
  [0, 0], [0, 0], [0, 0], [0, 8], [4, 0], [0, 12], [0, 0], [4, 0], [0, 0], [0, 12],
]; // biome-ignore format: kinds 0–19 in order

/** What is taken out of a BTF section: ids of functions and structures, by name. */
interface Names {
  functions: Map<string, number>;
  structures: Map<string, { id: number; at: number }>;
  btf: Buffer | undefined;
}

const nameAt = (btf: Buffer, offset: number): string => {
  const at = btf.readUInt32LE(4) + btf.readUInt32LE(16) + offset;
  return btf.toString('latin1', at, btf.indexOf(0, at));
};

function namesIn(btf: Buffer): Names {
  const types = btf.readUInt32LE(4) + btf.readUInt32LE(8);
  const end = types + btf.readUInt32LE(12);
  const found: Names = { functions: new Map(), structures: new Map(), btf };
  for (let at = types, id = 1; at < end; id++) {
    const info = btf.readUInt32LE(at + 4);
    const kind = (info >>> 24) & 0x1f;
    if (kind === FUNC) found.functions.set(nameAt(btf, btf.readUInt32LE(at)), id);
    if (kind === STRUCT) found.structures.set(nameAt(btf, btf.readUInt32LE(at)), { id, at });
    const [once, each] = EXTRA[kind] ?? [0, 0];
    at += 12 + once + each * (info & 0xffff);
  }
  return found;
}

let known: Names | undefined;

function names(): Names {
  if (!known)
    try {
      known = namesIn(readFileSync(VMLINUX));
    } catch {
      known = { functions: new Map(), structures: new Map(), btf: undefined };
    }
  return known;
}

/** BTF id of the running kernel's function `name`; undefined when it has none, or shows no BTF. */
export const kernelFunction = (name: string): number | undefined => names().functions.get(name);

/**
 * What BPF_PROG_LOAD is told of a struct_ops program: BTF id of the structure, and the member's place in it.
 * @throws EtherloomError ERR_KERNEL_STRUCT_OPS for a structure or member that the running kernel does not have
 */
export function kernelMember({ name, structOps }: ProgramSpec): { btfId: number; index: number } {
  const { structures, btf } = names();
  const struct = structOps && structures.get(structOps.name);
  const count = struct ? btf!.readUInt32LE(struct.at + 4) & 0xffff : 0;
  for (let i = 0; i < count; i++)
    if (nameAt(btf!, btf!.readUInt32LE(struct!.at + 12 + i * 12)) === structOps!.member)
      return { btfId: struct!.id, index: i };
  throw new EtherloomError(
    'ERR_KERNEL_STRUCT_OPS',
    `${name} is ${structOps ? `${structOps.name}.${structOps.member}` : 'a member of nothing'}, which this kernel does not have`,
    { expected: 'a member of a structure of the kernel, as tcp_congestion_ops.cong_avoid' },
  );
}

/** Calls of kfuncs with the kernel's numbers. @throws EtherloomError ERR_KERNEL_KFUNC for one that it does not have */
export function withKernelFunctions(spec: ProgramSpec, insns: readonly Insn[]): Insn[] {
  return insns.map(insn => {
    if (!isKfuncCall(insn)) return insn;
    const name = spec.kfuncs?.[insn.imm];
    const imm = name === undefined ? undefined : kernelFunction(name);
    if (imm === undefined)
      throw new EtherloomError(
        'ERR_KERNEL_KFUNC',
        `${spec.name} calls ${name ?? `kernel function ${insn.imm}`}, which this kernel does not have`,
        { expected: 'a kfunc of the kernel; those called el_… are this engine’s only' },
      );
    return { ...insn, imm };
  });
}
