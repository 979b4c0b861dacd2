import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { printInsn } from '../../host/bpf/asm/print.js';
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import type { BtfType } from '../../host/bpf/btf/btf.js';
import { parseBtf } from '../../host/bpf/btf/parse.js';
import { loadElf } from '../../host/bpf/elf/load.js';
import { OP_LDDW } from '../../host/bpf/insn.js';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { encodeBtf } from '../../host/bpf/kernel/btf.js';
import { KernelCollection } from '../../host/bpf/kernel/collection.js';
import { KernelProgram } from '../../host/bpf/kernel/program.js';
import type { CollectionSpec, ProgramSpec } from '../../host/bpf/spec.js';
import { FIXTURES } from '../fixtures/elf/build.js';
import { assert, suite } from '../support/suite.js';

const test = suite('elf/kernel');
const kernel = kernelAvailable();
const missing = kernel.ok ? undefined : kernel.reason;

const load = (name: string): CollectionSpec =>
  loadElf(readFileSync(join(FIXTURES, `${name}.bpf.o`)), `${name}.bpf.o`);

/** Objects whose every program is one that any kernel takes. */
const OBJECTS = [
  'maps',
  'globals',
  'calls',
  'core',
  'legacy',
  'no_btf',
  'isa_v1',
  'isa_v2',
  'isa_v3',
  'isa_v4',
];

/** Programs of the network types; the kernel attaches others to functions that we do not name. */
function programs(collection: CollectionSpec): string[] {
  return Object.values(collection.programs)
    .filter(p => p.type !== 'unspec')
    .map(p => p.name);
}

test(
  'the kernel takes what the linker made, with its function and line records and its maps',
  () => {
    for (const name of OBJECTS) {
      const collection = load(name);
      const loaded = KernelCollection.load(collection, { programs: programs(collection), log: 'statistics' });
      try {
        for (const [program, result] of Object.entries(loaded.loads))
          assert.ok(
            result.accepted,
            `${name} ${program}: ${result.accepted ? '' : `${result.errno} ${result.log}`}`,
          );
      } finally {
        loaded.close();
      }
    }
  },
  { missing, timeoutMs: 60_000 },
);

test(
  'a linked program computes what its source says',
  () => {
    const collection = load('calls');
    const loaded = KernelCollection.load(collection, { programs: ['three'], log: 'statistics' });
    try {
      const mix = (x: bigint): bigint => {
        x = BigInt.asUintN(64, (x ^ (x >> 33n)) * 0xff51afd7ed558ccdn);
        return x ^ (x >> 29n);
      };
      for (const length of [14, 60, 1500]) {
        const { retval } = loaded.program('three').testRun({ data: new Uint8Array(length) });
        assert.is(retval, Number(mix(BigInt(length)) & 0xffn), `${length} bytes`);
      }
    } finally {
      loaded.close();
    }
  },
  { missing },
);

/** Instruction texts of a verifier log by number: what stands between the opcode and the state comment. */
function logged(log: string): Map<number, string> {
  const texts = new Map<number, string>();
  for (const line of log.split('\n')) {
    const match = /^(\d+): (\([0-9a-f]{2}\) .*?)\s*(;.*)?$/.exec(line);
    if (match) texts.set(Number(match[1]), match[2]);
  }
  return texts;
}

function compareWithLog(spec: ProgramSpec): number {
  const result = KernelProgram.load(spec, { log: 'full' });
  try {
    let compared = 0;
    for (const [at, theirs] of logged(result.log)) {
      const { op, src } = spec.insns[at];
      // 64-bit constants and calls of subprograms print addresses and resolved names there.
      if (op === OP_LDDW && src !== 0) continue;
      const mine = `(${op.toString(16).padStart(2, '0')}) ${printInsn(spec.insns, at, 'kernel')}`;
      assert.is(mine.replace(/ ll$/, ''), theirs, `${spec.name} instruction ${at}`);
      compared++;
    }
    return compared;
  } finally {
    if (result.accepted) result.program.close();
  }
}

test(
  "the disassembly is the text of the kernel's own log",
  () => {
    let compared = 0;
    for (const name of ['globals', 'isa_v1', 'isa_v2', 'isa_v3', 'isa_v4', 'calls', 'core', 'no_btf']) {
      const collection = load(name);
      for (const program of programs(collection)) compared += compareWithLog(collection.programs[program]);
    }
    assert.ok(compared > 500, `${compared} instructions`);
  },
  { missing, timeoutMs: 60_000 },
);

test(
  "the spelling of rare instructions is the kernel's too",
  () => {
    const spec = assembleSpec(
      `.program socket_filter rare
       r6 = r1
       r2 = 7
       *(u64 *)(r10 -8) = r2
       *(u32 *)(r10 -16) = -1
       r1 = 3
       r1 = atomic64_fetch_add((u64 *)(r10 -8), r1)
       r1 = atomic64_fetch_xor((u64 *)(r10 -8), r1)
       r0 = 1
       r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r2)
       r0 = atomic_cmpxchg((u32 *)(r10 -8), r0, r2)
       r1 = atomic64_xchg((u64 *)(r10 -8), r1)
       r1 = atomic_fetch_or((u32 *)(r10 -8), r1)
       lock *(u64 *)(r10 -8) |= r2
       r1 = load_acquire((u64 *)(r10 -8))
       store_release((u32 *)(r10 -8), r2)
       r3 = (s8)r2
       w3 = (s16)w2
       r3 = (s32)r2
       r3 = *(s16 *)(r10 -16)
       r3 = be16 r3
       r3 = le32 r3
       r3 = bswap64 r3
       r3 s/= 3
       w3 s%= w2
       r3 = -r3
       w3 = -w3
       if w3 s>= -5 goto pc+0
       if r3 & 0x80000000 goto pc+0
       gotol pc+0
       may_goto pc+0
       r0 = *(u8 *)skb[4]
       r7 = 2
       r0 = *(u16 *)skb[r7 + 6]
       r0 = 0
       exit`,
      { file: 'rare.s' },
    );
    assert.is(compareWithLog(spec), spec.insns.length);
  },
  { missing },
);

test('BTF that was read encodes to BTF that reads the same', () => {
  for (const name of ['maps', 'globals', 'calls', 'core', 'externs']) {
    const { btf } = load(name);
    const again = parseBtf(encodeBtf(btf!).bytes, name);
    // The encoder leaves out what the kernel has no use for: variables and externs.
    const plain = (types: readonly BtfType[]) =>
      types.map((t, id) => {
        const { kind } = btf!.types[id];
        return kind === 'var' || kind === 'datasec' || kind === 'func' ? kind : t;
      });
    assert.equal(plain(again.types), plain(btf!.types));
  }
});
