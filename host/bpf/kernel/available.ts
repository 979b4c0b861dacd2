/** Whether this process may use the kernel's eBPF, and in words why not: for skips, `--engine kernel` and the bench. */
import { native } from '../../native/load.js';
import { OP_EXIT } from '../insn.js';
import { KernelProgram } from './program.js';

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
      { op: 0xb7, dst: 0, src: 0, off: 0, imm: 1 },
      { op: OP_EXIT, dst: 0, src: 0, off: 0, imm: 0 },
    ],
  });
  if (load.accepted) {
    load.program.close();
    return { ok: true };
  }
  if (load.errno === 'ENOSYS') return { ok: false, reason: 'this kernel has no bpf(2)' };
  if (load.errno === 'EPERM')
    return { ok: false, reason: 'loading into the kernel needs CAP_BPF and CAP_NET_ADMIN' };
  return { ok: false, reason: `the kernel refuses the smallest XDP program: ${load.reason}` };
}

/** Probed once: loads a two-instruction XDP program. */
export function kernelAvailable(): { ok: true } | { ok: false; reason: string } {
  return (answer ??= probe());
}
