/**
 * What programs of struct_ops may do, beside the kernel's own verdict: the same program once for our el_cc_ops, once for
 * the kernel's tcp_congestion_ops, with the offsets of each.
 */
import { readFileSync } from 'node:fs';
import { assembleSpec } from '../../../host/bpf/asm/spec.js';
import { parseBtf } from '../../../host/bpf/btf/parse.js';
import { findType, layout, sizeOf } from '../../../host/bpf/btf/types.js';
import { helpers } from '../../../host/bpf/helpers.js';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { KernelProgram } from '../../../host/bpf/kernel/program.js';
import type { ProgramSpec } from '../../../host/bpf/spec.js';
import { VerifierError, verify } from '../../../host/bpf/verify/verify.js';
import { CcEventLayout, CcLayout } from '../../../host/layout/layout.gen.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('struct_ops: verifier');

/** Places in the structure that the first argument points to. */
interface Places {
  /** Of four bytes, for the program to write. */
  write: number;
  /** Of four bytes, only to be read. */
  read: number;
  /** Behind the last. */
  end: number;
  /** Eight bytes from here span two members. */
  span: number;
}

interface Case {
  claim: string;
  text: (p: Places) => string;
  /** What our verifier says; undefined: it takes the program. */
  refused?: RegExp;
  /** Why we refuse what the kernel takes. */
  stricter?: string;
}

const ours: Places = {
  write: CcLayout.cwnd,
  read: CcLayout.mss,
  end: CcLayout.size,
  span: CcLayout.algorithm,
};
const load = 'r2 = *(u64 *)(r1 + 0)';

const CASES: readonly Case[] = [
  {
    claim: 'members are read, and those that may be are written',
    text: p => `${load}; r3 = *(u32 *)(r2 + ${p.read}); *(u32 *)(r2 + ${p.write}) = r3; r0 = 0; exit`,
  },
  {
    claim: 'a pointer may be moved to a member by a constant',
    text: p => `${load}; r2 += ${p.read}; r0 = *(u32 *)(r2 + 0); exit`,
  },
  { claim: 'a part of a member may be read', text: p => `${load}; r0 = *(u16 *)(r2 + ${p.read + 2}); exit` },
  {
    claim: 'a function that returns a number must return one',
    text: () => `${load}; exit`,
    refused: /r0 is read, but nothing was written to it/,
  },
  {
    claim: 'a member that is not the program’s is not written',
    text: p => `${load}; r3 = 1; *(u32 *)(r2 + ${p.read}) = r3; r0 = 0; exit`,
    refused: /mss of struct el_cc is not for the program to write; it may write cwnd, ssthresh, rate, flags,/,
  },
  {
    claim: 'a store does not run past a member',
    text: p => `${load}; r3 = 1; *(u64 *)(r2 + ${p.write + 2}) = r3; r0 = 0; exit`,
    refused: /8 bytes at offset 10 of struct el_cc run past its member cwnd/,
  },
  {
    claim: 'nothing is read behind the end',
    text: p => `${load}; r0 = *(u32 *)(r2 + ${p.end}); exit`,
    refused: /4 bytes at offset 160 of struct el_cc, which has 160/,
  },
  {
    claim: 'nothing is read before the start',
    text: () => `${load}; r0 = *(u32 *)(r2 - 4); exit`,
    refused: /4 bytes at offset -4 of struct el_cc/,
  },
  {
    claim: 'a load does not span two members',
    text: p => `${load}; r0 = *(u64 *)(r2 + ${p.span}); exit`,
    refused: /8 bytes at offset 0 of struct el_cc run past its member algorithm/,
  },
  {
    claim: 'members are found by constants',
    text: p =>
      `${load}; r3 = *(u32 *)(r2 + ${p.read}); r3 &= 4; r2 += r3; r0 = *(u32 *)(r2 + ${p.read}); exit`,
    refused: /r2 is a struct el_cc with a variable offset/,
  },
  {
    claim: 'there are as many arguments as the function has',
    text: () => 'r2 = *(u64 *)(r1 + 8); r0 = 0; exit',
    refused: /8 bytes at offset 8 of the arguments of init: it has 1/,
  },
  {
    claim: 'an argument is read whole',
    text: () => 'r2 = *(u32 *)(r1 + 0); r0 = 0; exit',
    refused: /4 bytes at offset 0 of the arguments of init: cc is read as 8 bytes/,
  },
  {
    claim: 'an argument begins every 8 bytes',
    text: () => 'r2 = *(u64 *)(r1 + 4); r0 = 0; exit',
    refused: /an argument begins every 8 bytes/,
  },
  {
    claim: 'arguments are not written',
    text: () => 'r2 = 0; *(u64 *)(r1 + 0) = r2; r0 = 0; exit',
    refused: /arguments are read-only/,
  },
  {
    claim: 'there is no packet, and nothing that moves one',
    text: () => 'r2 = 0; call 44; r0 = 0; exit',
    refused: /helper xdp_adjust_head is not for struct_ops programs/,
  },
  { claim: 'the time may be asked for', text: () => 'call 5; r0 = 0; exit' },
  {
    claim: 'a pointer is no number to multiply',
    text: () => `${load}; r2 *= 2; r0 = 0; exit`,
    refused: /pointer/,
  },
  {
    claim: 'atomics are for maps and the stack',
    text: p => `${load}; r3 = 1; lock *(u32 *)(r2 + ${p.write}) += r3; r0 = 0; exit`,
    refused: /atomics work on the stack/,
    stricter: 'Wasm traps on an atomic that is not aligned, which the kernel’s machine does not',
  },
];

const program = (text: string, structOps: ProgramSpec['structOps']): ProgramSpec => ({
  ...assembleSpec(text.replaceAll('; ', '\n'), { type: 'struct_ops', name: 'member' }),
  structOps,
});

function verdict(spec: ProgramSpec): string | undefined {
  try {
    verify(spec);
    return undefined;
  } catch (error) {
    if (error instanceof VerifierError) return error.reason;
    throw error;
  }
}

for (const { claim, text, refused } of CASES)
  test(claim, () => {
    const said = verdict(program(text(ours), { name: 'el_cc_ops', member: 'init' }));
    if (refused) assert.match(said ?? 'accepted', refused);
    else assert.is(said, undefined);
  });

test('what is told is read only, and a structure that nothing knows is named', () => {
  const store = `r2 = *(u64 *)(r1 + 8); r3 = 1; *(u32 *)(r2 + ${CcEventLayout.acked}) = r3; r0 = 0; exit`;
  const event = { name: 'el_cc_ops', member: 'event' };
  assert.match(verdict(program(store, event)) ?? '', /acked of struct el_cc_event .*it may write none of it/);
  assert.match(
    verdict(program('r0 = 0; exit', { name: 'sched_ext_ops', member: 'init' })) ?? '',
    /there is no sched_ext_ops.init; a struct_ops program is one of el_cc_ops.init, el_cc_ops.event/,
  );
  assert.match(verdict(program('r0 = 0; exit', undefined)) ?? '', /no structure in .struct_ops names it/);
});

const kernel = kernelAvailable();
const VMLINUX = '/sys/kernel/btf/vmlinux';

/** The kernel shows its own congestion control, and the structure that programs of it write. */
function kernelPlaces(): Places | string {
  try {
    const btf = parseBtf(new Uint8Array(readFileSync(VMLINUX)), VMLINUX);
    const id = findType(btf, 'tcp_sock', 'struct');
    if (id === undefined || findType(btf, 'tcp_congestion_ops', 'struct') === undefined)
      return 'this kernel has no tcp_congestion_ops';
    const at = (name: string): number => layout(btf, id).find(m => m.name === name)!.bitOffset / 8;
    return { write: at('snd_cwnd'), read: at('snd_una'), end: sizeOf(btf, id), span: at('snd_una') - 2 };
  } catch (error) {
    return `no BTF of the kernel: ${(error as Error).message}`;
  }
}

const places = kernel.ok ? kernelPlaces() : kernel.reason;
const missing = typeof places === 'string' ? places : undefined;
/** int undo_cwnd(struct sock *sk): one argument and a number, as our init. */
const KERNEL_MEMBER = { name: 'tcp_congestion_ops', member: 'undo_cwnd' };

test(
  'the kernel says the same of the same programs as members of its tcp_congestion_ops',
  () => {
    const differ: string[] = [];
    for (const { claim, text, refused, stricter } of CASES) {
      const result = KernelProgram.load(program(text(places as Places), KERNEL_MEMBER));
      if (result.accepted) result.program.close();
      if (result.accepted === (refused !== undefined) && !stricter)
        differ.push(`${claim}: ${result.accepted ? 'accepted' : `${result.reason}\n${result.log}`}`);
    }
    assert.equal(differ, []);
  },
  { missing, timeoutMs: 60_000 },
);

/** Helpers that the kernel gives its congestion control and we do not, with the reason, and the other way round. */
const DIFFER: Readonly<Record<string, string>> = {
  tail_call: 'a transport program calls it in the middle of its own run',
};

test(
  'it has the helpers that the kernel gives such programs',
  () => {
    const differ: string[] = [];
    for (const { id, name, types } of helpers) {
      const spec = program(`r1 = 0; r2 = 0; r3 = 0; r4 = 0; r5 = 0; call ${id}; r0 = 0; exit`, KERNEL_MEMBER);
      const result = KernelProgram.load(spec);
      if (result.accepted) result.program.close();
      const has = result.accepted || !/program of this type cannot use helper|unknown func/.test(result.log);
      if (has !== types.includes('struct_ops') && !Object.hasOwn(DIFFER, name))
        differ.push(`${name}: the kernel ${has ? 'has' : 'has not'}`);
    }
    assert.equal(differ, []);
  },
  { missing, timeoutMs: 60_000 },
);
