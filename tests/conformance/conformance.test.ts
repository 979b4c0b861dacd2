/** The external conformance runner's contract, both engines, byte for byte. */
import { readFileSync } from 'node:fs';
import { runConformance } from '../../host/bpf/conformance.js';
import { encodeInsns, type Insn } from '../../host/bpf/insn.js';
import {
  Alu,
  aluImm,
  call,
  callLocal,
  exit,
  insn,
  Jmp,
  ja,
  jmpImm,
  lddw,
  ldx,
  mov,
  movImm,
  Size,
  stx,
} from '../support/insns.js';
import { assert, suite } from '../support/suite.js';

const test = suite('conformance: external runner');

/** Every byte as two digits and two blanks, as the runner writes it. */
const hex = (bytes: Uint8Array): string =>
  [...bytes].map(b => `${b.toString(16).padStart(2, '0')}  `).join('');

async function command(argv: string[], stdin: string): Promise<{ code: number; out: string }> {
  let out = '';
  const code = await runConformance(
    argv,
    (async function* () {
      // Chunks need not end at a byte.
      yield stdin.slice(0, 3);
      yield new TextEncoder().encode(stdin.slice(3));
    })(),
    {
      write: text => {
        out += text;
      },
    },
  );
  return { code, out };
}

/** Output of both engines, which must be the same. */
async function both(program: (Insn | Insn[])[], mem?: Uint8Array): Promise<{ code: number; out: string }> {
  const stdin = `${hex(encodeInsns(program.flat()))}\n`;
  const argv = mem ? [hex(mem)] : [];
  const jit = await command(argv, stdin);
  const interp = await command([...argv, '--interp'], stdin);
  assert.is(interp.code, jit.code);
  if (jit.code === 0) assert.is(interp.out, jit.out);
  return jit;
}

const gives = async (want: bigint, program: (Insn | Insn[])[], mem?: Uint8Array): Promise<void> => {
  assert.equal(await both(program, mem), { code: 0, out: `${want.toString(16)}\n` });
};

const MEM = Uint8Array.of(0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88);

test('r0 is lower-case hex of 64 bits', async () => {
  await gives(0xffffffffffffffffn, [movImm(0, -1), exit()]);
  await gives(0xabcdef0123456789n, [lddw(0, 0xabcdef0123456789n), exit()]);
  await gives(0n, [movImm(0, 0), exit()]);
});

test('r1 is the memory, writable, and r2 its length', async () => {
  await gives(0x8877665544332211n, [ldx(Size.DW, 0, 1, 0), exit()], MEM);
  await gives(8n, [mov(0, 2), exit()], MEM);
  await gives(0x99n, [movImm(3, 0x99), stx(Size.B, 1, 7, 3), ldx(Size.B, 0, 1, 7), exit()], MEM);
});

test('without memory r1 and r2 are 0', async () => {
  await gives(0n, [mov(0, 1), insn(0x4f, 0, 2), exit()]);
});

test('r10 is the top of 512 bytes and more', async () => {
  await gives(7n, [movImm(1, 7), stx(Size.DW, 10, -512, 1), ldx(Size.DW, 0, 10, -512), exit()]);
});

test('shift immediates are masked', async () => {
  await gives(2n, [movImm(0, 1), aluImm(Alu.LSH, 0, 65), exit()]);
  await gives(1n << 63n, [movImm(0, 1), aluImm(Alu.LSH, 0, -1), exit()]);
  await gives(2n, [movImm(0, 1), insn(0x64, 0, 0, 0, 33), exit()]);
  await gives(0x7fffffffn, [movImm(0, -1), insn(0x74, 0, 0, 0, 33), exit()]);
  await gives(0xffffffffn, [movImm(0, -1), insn(0xc4, 0, 0, 0, -1), exit()]);
});

test('helpers 0 to 5 are those of uBPF’s tests', async () => {
  const args = [1, 2, 3, 4, 5].map(r => movImm(r, r));
  await gives(0x0102030405n, [...args, call(0), exit()]);
  await gives(0x11n ^ 42n, [mov(6, 1), movImm(2, 8), call(1), ldx(Size.B, 0, 6, 0), exit()], MEM);
  await gives(3n, [call(2), movImm(0, 3), exit()]);
  await gives(16n, [movImm(1, 256), call(3), exit()]);
  await gives(0n, [mov(2, 1), call(4), exit()], Uint8Array.of(65, 66, 0));
  await gives(
    0xffffffffffffffffn,
    [mov(2, 1), aluImm(Alu.ADD, 2, 1), call(4), exit()],
    Uint8Array.of(65, 66, 0),
  );
  await gives(2n, [movImm(1, -1), call(5), movImm(0, 2), exit()]);
  await gives(0n, [movImm(1, 0), call(5), movImm(0, 2), exit()]);
});

test('callx calls the helper whose number is in a register, named in dst, src or imm', async () => {
  for (const callx of [insn(0x8d, 2), insn(0x8d, 0, 2), insn(0x8d, 0, 0, 0, 2)]) {
    await gives(2n, [movImm(1, -1), movImm(2, 5), callx, movImm(0, 2), exit()]);
    await gives(4n, [movImm(1, 16), movImm(2, 3), callx, exit()]);
    const unknown = await both([movImm(2, 99), callx, exit()]);
    assert.is(unknown.code, 1);
  }
});

test('a failure is a message on stdout and exit code 1', async () => {
  for (const [program, mem] of [
    [[ldx(Size.B, 0, 1, 8), exit()], MEM],
    [[ldx(Size.B, 0, 1, 0), exit()], undefined],
    [[stx(Size.B, 10, 0, 1), movImm(0, 0), exit()], undefined],
    [[call(6), exit()], undefined],
    [[insn(0x8c), exit()], undefined],
    [[movImm(0, 0)], undefined],
    [[], undefined],
    [[callLocal(-1), exit()], undefined],
    [[movImm(1, 1), movImm(2, 64), call(1), exit()], MEM],
  ] as [Insn[], Uint8Array | undefined][]) {
    const { code, out } = await both(program, mem);
    assert.is(code, 1);
    assert.ok(out.length > 10 && out.endsWith('\n'), out);
  }
});

test('an endless loop ends', async () => {
  const stdin = hex(encodeInsns([movImm(0, 0), ja(-1), exit()]));
  const { code, out } = await command([], stdin);
  assert.is(code, 1);
  assert.match(out, 'fuel');
});

test('hostile input gets a message, wherever it stands', async () => {
  const good = hex(encodeInsns([movImm(0, 0), exit()]));
  for (const [argv, stdin] of [
    [[], 'zz'],
    [[], '95 00 0'],
    [[], '95 00 00'],
    [['1'], good],
    [['no hex'], good],
    [['--elf'], good],
    [['--elf'], '7f 45 4c 46'],
  ] as [string[], string][]) {
    const { code, out } = await command(argv, stdin);
    assert.is(code, 1, out);
    assert.ok(out.length > 10);
  }
  assert.is((await command(['--frobnicate'], good)).code, 2);
  assert.equal(await command([''], good), { code: 0, out: '0\n' });
});

test('--elf takes an object', async () => {
  const object = readFileSync(new URL('../../bpf-progs/obj/pass.bpf.o', import.meta.url));
  assert.equal(await command(['--elf'], hex(object)), { code: 0, out: '2\n' });
});

test('a thousand instructions with jumps to the next one', async () => {
  const program = [
    movImm(0, 0),
    ...Array.from({ length: 500 }, (_, i) => [jmpImm(Jmp.JEQ, 0, i, 0), aluImm(Alu.ADD, 0, 1)]).flat(),
    exit(),
  ];
  await gives(500n, program);
});
