/** Whether this process may use the kernel's eBPF, and in words why not: for skips, `--engine kernel` and the bench. */
import { native } from '../../native/load.js';
import { OP_EXIT } from '../insn.js';
import { RIGHTS } from './attr.js';
import { KernelProgram } from './program.js';

const OP_MOV64_REG = 0xbf;
const OP_SUB64_REG = 0x1f;
const OP_MOV64_IMM = 0xb7;
const XDP_DROP = 1;

let answer: { ok: true } | { ok: false; reason: string } | undefined;

function probe(): { ok: true } | { ok: false; reason: string } {
  const addon = native();
  if (!addon.ok) return addon;
  const load = KernelProgram.load({
    name: 'probe',
    type: 'xdp',
    license: 'GPL',
    maps: {},
    insns: [
      // r2 = r10; r2 -= r10: a pointer less a pointer is for CAP_PERFMON only.
      { op: OP_MOV64_REG, dst: 2, src: 10, off: 0, imm: 0 },
      { op: OP_SUB64_REG, dst: 2, src: 10, off: 0, imm: 0 },
      { op: OP_MOV64_IMM, dst: 0, src: 0, off: 0, imm: XDP_DROP },
      { op: OP_EXIT, dst: 0, src: 0, off: 0, imm: 0 },
    ],
  });
  if (load.accepted) {
    load.program.close();
    return { ok: true };
  }
  if (load.errno === 'ENOSYS') return { ok: false, reason: 'this kernel has no bpf(2)' };
  if (load.errno === 'EPERM') return { ok: false, reason: `loading into the kernel needs ${RIGHTS}` };
  if (load.errno === 'EACCES')
    return {
      ok: false,
      reason: `loading into the kernel needs ${RIGHTS}; without CAP_PERFMON its verifier says: ${load.reason}`,
    };
  return { ok: false, reason: `the kernel refuses the smallest XDP program: ${load.reason}` };
}

/** Probed once: loads an XDP program of four instructions. */
export function kernelAvailable(): { ok: true } | { ok: false; reason: string } {
  return (answer ??= probe());
}
