/**
 * Kernel functions by name: their ids in the kernel's own BTF, which is what a call to one says. Read once, lazily;
 * only the names of functions are taken out of its 5 MB.
 */
import { readFileSync } from 'node:fs';
import { EtherloomError } from '../../errors.js';
import type { Insn } from '../insn.js';
import { isKfuncCall } from '../kfuncs.js';
import type { ProgramSpec } from '../spec.js';

const VMLINUX = '/sys/kernel/btf/vmlinux';
const FUNC = 12;
/** Bytes behind the 12 of each type, by kind: once, and for each of its members. */
const EXTRA: readonly (readonly [once: number, each: number])[] = [
  [0, 0], [4, 0], [0, 0], [12, 0], [0, 12], [0, 12], [0, 8], [0, 0], [0, 0], [0, 0],
  [0, 0], [0, 0], [0, 0], [0, 8], [4, 0], [0, 12], [0, 0], [4, 0], [0, 0], [0, 12],
]; // biome-ignore format: kinds 0–19 in order

/** Ids of all functions in a BTF section, by name. */
function functionsIn(btf: Buffer): Map<string, number> {
  const header = btf.readUInt32LE(4);
  const types = header + btf.readUInt32LE(8);
  const end = types + btf.readUInt32LE(12);
  const strings = header + btf.readUInt32LE(16);
  const found = new Map<string, number>();
  for (let at = types, id = 1; at < end; id++) {
    const info = btf.readUInt32LE(at + 4);
    const kind = (info >>> 24) & 0x1f;
    if (kind === FUNC) {
      const name = strings + btf.readUInt32LE(at);
      found.set(btf.toString('latin1', name, btf.indexOf(0, name)), id);
    }
    const [once, each] = EXTRA[kind] ?? [0, 0];
    at += 12 + once + each * (info & 0xffff);
  }
  return found;
}

let known: Map<string, number> | undefined;

/** BTF id of the running kernel's function `name`; undefined when it has none, or shows no BTF. */
export function kernelFunction(name: string): number | undefined {
  if (!known)
    try {
      known = functionsIn(readFileSync(VMLINUX));
    } catch {
      known = new Map();
    }
  return known.get(name);
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
