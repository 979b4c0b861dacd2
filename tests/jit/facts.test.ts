/** The JIT with facts: never another result than the interpreter's, as long as the facts are true. */

import { Class, type Insn, Mode, SRC_X } from '../../host/bpf/insn.js';
import { interpret } from '../../host/bpf/interp/interpret.js';
import { compileProgram } from '../../host/bpf/jit/compile.js';
import { instantiateProgram, type ProgramExports } from '../../host/bpf/jit/instantiate.js';
import { arena, claimVerified, core, engines, MEMORY, memoryAt } from '../support/engines.js';
import {
  ALU_OPS,
  Alu,
  aluImm,
  callLocal,
  exit,
  insn,
  Jmp,
  ja,
  lddw,
  ldx,
  mov,
  movImm,
  Size,
  spec,
  st,
  stx,
} from '../support/insns.js';
import { randomBelow } from '../support/random.js';
import { assert, suite } from '../support/suite.js';
import { TracedFacts } from '../support/traced_facts.js';

const test = suite('jit: facts');

const SIZES = [Size.B, Size.H, Size.W, Size.DW];
const BYTES: Record<number, number> = { [Size.B]: 1, [Size.H]: 2, [Size.W]: 4, [Size.DW]: 8 };

/**
 * A program over r6 = memory (256 B), scalars r2–r5 and r8, pointers r7 and r9, and a frame of 64 bytes.
 * Jumps go forward; one loop in some.
 */
function generate(next: (n: number) => number): Insn[] {
  const scalar = (): number => [2, 3, 4, 5, 8][next(5)];
  const body: Insn[][] = [];
  const count = 15 + next(40);
  for (let i = 0; i < count; i++) {
    const size = SIZES[next(4)];
    const n = BYTES[size];
    const d = scalar();
    const s = scalar();
    switch (next(16)) {
      case 0:
      case 1:
        body.push([insn(Class.ALU64 | ALU_OPS[next(12)] | SRC_X, d, s)]);
        break;
      case 2:
        body.push([insn(Class.ALU | ALU_OPS[next(12)] | SRC_X, d, s)]);
        break;
      case 3: {
        const op = ALU_OPS[next(12)];
        const shift = op === Alu.LSH || op === Alu.RSH || op === Alu.ARSH;
        body.push([
          insn(Class.ALU64 | op, d, 0, 0, shift ? next(64) : [next(256), -next(100), 0x7fffffff][next(3)]),
        ]);
        break;
      }
      case 4: {
        const op = ALU_OPS[next(12)];
        const shift = op === Alu.LSH || op === Alu.RSH || op === Alu.ARSH;
        body.push([insn(Class.ALU | op, d, 0, 0, shift ? next(32) : next(1000) - 500)]);
        break;
      }
      case 5:
        body.push([
          insn(
            [Class.ALU | Alu.END, Class.ALU | Alu.END | SRC_X, Class.ALU64 | Alu.END][next(3)],
            d,
            0,
            0,
            [16, 32, 64][next(3)],
          ),
        ]);
        break;
      case 6:
        body.push([
          next(2)
            ? insn(Class.ALU64 | Alu.MOV | SRC_X, d, s, [8, 16, 32][next(3)])
            : insn(Class.ALU | Alu.NEG, d),
        ]);
        break;
      case 7:
        body.push([ldx(size, d, 6, next(MEMORY / n) * n)]);
        break;
      case 8:
        body.push([stx(size, 6, next(MEMORY / n) * n, s)]);
        break;
      case 9:
        // A pointer by a bounded scalar, then through it.
        body.push([
          mov(7, 6),
          mov(9, s),
          aluImm(Alu.AND, 9, 127),
          insn(Class.ALU64 | Alu.ADD | SRC_X, 7, 9),
          ldx(size, d, 7, next(120)),
        ]);
        break;
      case 10:
        body.push([mov(7, 6), aluImm(Alu.ADD, 7, 200), stx(size, 7, -next(190) - 8, s)]);
        break;
      case 11:
        body.push([stx(size, 10, -64 + next(64 / n) * n, s)]);
        break;
      case 12:
        body.push([
          size !== Size.DW && next(3) === 0
            ? insn(Class.LDX | Mode.MEMSX | size, d, 10, -64 + next(64 / n) * n)
            : ldx(size, d, 10, -64 + next(64 / n) * n),
        ]);
        break;
      case 13:
        // A pointer spilled and filled; the difference of two pointers.
        body.push([
          stx(Size.DW, 10, -72, 6),
          ldx(Size.DW, 7, 10, -72),
          ldx(Size.B, d, 7, next(MEMORY)),
          insn(Class.ALU64 | Alu.SUB | SRC_X, 7, 6),
          mov(s, 7),
        ]);
        break;
      case 14:
        body.push([
          insn(
            Class.STX | Mode.ATOMIC | [Size.W, Size.DW][next(2)],
            6,
            d,
            next(31) * 8,
            [0, 1, 0x41, 0x51, 0xa1, 0xe1, 0xf1][next(7)],
          ),
        ]);
        break;
      default: {
        const codes = [
          Jmp.JEQ,
          Jmp.JNE,
          Jmp.JGT,
          Jmp.JGE,
          Jmp.JLT,
          Jmp.JLE,
          Jmp.JSGT,
          Jmp.JSGE,
          Jmp.JSLT,
          Jmp.JSLE,
          Jmp.JSET,
        ];
        const cls = next(2) ? Class.JMP : Class.JMP32;
        const code = codes[next(codes.length)];
        // The offset is set below: over some of the groups that follow.
        body.push([
          next(2) ? insn(cls | code | SRC_X, d, s, next(6)) : insn(cls | code, d, 0, next(6), next(200) - 50),
        ]);
      }
    }
  }
  const head: Insn[] = [mov(6, 1), ...[2, 3, 4, 5, 8].map((r, i) => ldx(SIZES[next(4)], r, 6, i * 8))];
  for (let at = -72; at < 0; at += 8) head.push(st(Size.DW, 10, at, next(3)));
  head.push(mov(7, 6), movImm(9, 0), movImm(0, 0));
  const out: Insn[] = [...head];
  body.forEach((group, i) => {
    const [first] = group;
    const cls = first.op & 7;
    if (group.length === 1 && (cls === Class.JMP || cls === Class.JMP32)) {
      const skipped = body.slice(i + 1, i + 1 + first.off).reduce((n, g) => n + g.length, 0);
      out.push({ ...first, off: skipped });
    } else out.push(...group);
  });
  if (next(3) === 0) {
    // The whole body again, some times: r9 is not safe from it, a slot of the frame is.
    out.splice(head.length, 0, st(Size.DW, 10, -80, 3));
    out.push(ldx(Size.DW, 9, 10, -80), aluImm(Alu.SUB, 9, 1), stx(Size.DW, 10, -80, 9));
    out.push(insn(Class.JMP | Jmp.JNE, 9, 0, -(out.length - head.length - 1) - 1, 0));
    out[out.length - 1].off = head.length + 1 - out.length;
  }
  for (const r of [2, 3, 4, 5, 8])
    out.push(insn(Class.ALU64 | Alu.MUL, 0, 0, 0, 31), insn(Class.ALU64 | Alu.XOR | SRC_X, 0, r));
  out.push(exit());
  return out;
}

const regions = [{ name: 'memory', lo: memoryAt, hi: memoryAt + MEMORY, write: true }];
const lane = arena.lane(core.lane);
const pointers = [
  { lo: memoryAt, hi: memoryAt + MEMORY },
  { lo: lane.stackTop - 512, hi: lane.stackTop },
];

function fill(next: (n: number) => number): Uint8Array {
  return Uint8Array.from({ length: MEMORY }, () => [0, 1, 255, 128, next(256)][next(5)]);
}

test('1,500 random programs: interpreter, JIT without facts, with traced facts, with half of them, guarded', () => {
  const next = randomBelow(4711);
  for (let n = 0; n < 1500; n++) {
    const program = spec(generate(next), 'unspec');
    const inputs = [fill(next), fill(next)];
    const e = engines(program);
    const facts = [
      new TracedFacts(program.insns, pointers),
      new TracedFacts(program.insns, pointers, next(2048)),
    ];
    const wanted = inputs.map(memory => {
      const runs = facts.map(f => {
        arena.u8.set(memory, memoryAt);
        f.restart();
        return interpret(program, { arena, core, ctx: memoryAt, regions, trace: f.trace }).r0;
      });
      return { r0: runs[0], memory: arena.u8.slice(memoryAt, memoryAt + MEMORY) };
    });
    const compiled = facts.map(f => {
      const instance = instantiateProgram(compileProgram(claimVerified(program, f), {}), core, arena, 1);
      return (instance.exports as unknown as ProgramExports).run;
    });
    inputs.forEach((memory, i) => {
      const check = (what: string, r0: bigint, after: Uint8Array): void => {
        if (BigInt.asUintN(64, r0) !== wanted[i].r0 || Buffer.compare(after, wanted[i].memory) !== 0)
          throw new Error(
            `program ${n}, input ${i}, ${what}: 0x${BigInt.asUintN(64, r0).toString(16)}, not 0x${wanted[i].r0.toString(16)}`,
          );
      };
      const jit = e.jit(memory);
      check('without facts', jit.r0, jit.memory);
      const guarded = e.guarded(memory);
      check('guarded', guarded.r0, guarded.memory);
      compiled.forEach((run, k) => {
        arena.u8.set(memory, memoryAt);
        const r0 = run(memoryAt);
        check(
          k === 0 ? 'with facts' : 'with half of the facts',
          r0,
          arena.u8.slice(memoryAt, memoryAt + MEMORY),
        );
      });
    });
  }
});

test('a known branch leaves no code of the other way', () => {
  const program = spec(
    [
      ldx(Size.DW, 2, 1, 0),
      insn(Class.JMP | Jmp.JEQ, 2, 0, 2, 5),
      movImm(0, 1),
      exit(),
      lddw(0, 0x123456789abcn),
      exit(),
    ],
    'unspec',
  );
  const facts = {
    ...new TracedFacts(program.insns, []),
    reached: () => true,
    fact: () => undefined,
    branch: () => ({ taken: false, fallthrough: true }),
    made: () => undefined,
  };
  const { bytes } = compileProgram(claimVerified(program, facts), {});
  const whole = compileProgram(claimVerified(program), {});
  assert.ok(bytes.length < whole.bytes.length);
});

test('arguments of functions keep what is known of them', () => {
  // f(constant, u32, pointer): the constant is not even passed
  const program = spec(
    [
      ldx(Size.W, 2, 1, 0),
      mov(3, 1),
      movImm(1, 5),
      callLocal(1),
      exit(),
      mov(0, 1),
      insn(Class.ALU64 | Alu.ADD | SRC_X, 0, 2),
      ldx(Size.B, 4, 3, 4),
      insn(Class.ALU64 | Alu.ADD | SRC_X, 0, 4),
      ja(0),
      exit(),
    ],
    'unspec',
  );
  const e = engines(program);
  const memory = new Uint8Array(MEMORY);
  memory.set([255, 255, 255, 255, 9]);
  for (const engine of ['interp', 'jit', 'guarded'] as const)
    assert.is(e[engine](memory).r0, 0xffffffffn + 14n);
});
