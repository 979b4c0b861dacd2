/**
 * Makes the pipeline itself warm: reader, verifier and JIT are some thousand functions that V8 reads and compiles when
 * they are first called, which cost the first program of a process twice its time. A program that has something of
 * everything in it is verified and compiled, and thrown away; an object of bpf-progs/ is read.
 * Engine.start calls this while its threads come up, when the host's thread has nothing to do.
 */
import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Alu, Class, type Insn, Jmp, Mode, OP_CALL, OP_EXIT, Size, SRC_X } from './insn.js';
import { compileProgram } from './jit/compile.js';
import { openObject } from './open.js';
import type { ProgramSpec } from './spec.js';
import { verify } from './verify/verify.js';

/** Times at most; the first takes some 25 ms, the others a third of that. */
const ROUNDS = 5;
/** An object with BTF and maps, for the reader. A package that was taken apart may lack it. */
const OBJECT = fileURLToPath(new URL('../../bpf-progs/obj/parse_drop.bpf.o', import.meta.url));
/** bpf_ktime_get_ns. */
const KTIME = 5;
/** Bytes of packet that the program proves. */
const PROVEN = 34;

const insn = (op: number, dst = 0, src = 0, off = 0, imm = 0): Insn => ({ op, dst, src, off, imm });

/** Arithmetic, memory, and branches over r7, r8, r9; r6 holds the context. */
function mixture(): Insn[] {
  const out: Insn[] = [];
  const sizes = [Size.B, Size.H, Size.W, Size.DW];
  sizes.forEach((size, i) => {
    out.push(insn(Class.LDX | Mode.MEM | size, 7 + (i % 3), 2, 2 * i));
    out.push(insn(Class.STX | Mode.MEM | size, 10, 7 + (i % 3), -8 * (i + 1)));
    out.push(insn(Class.LDX | Mode.MEM | size, 7 + ((i + 1) % 3), 10, -8 * (i + 1)));
  });
  const { NEG, END, ...binary } = Alu;
  Object.values(binary).forEach((op, i) => {
    for (const cls of [Class.ALU64, Class.ALU]) {
      out.push(insn(cls | op, 7 + (i % 3), 0, 0, 1 + (i % 31)));
      out.push(insn(cls | op | SRC_X, 7 + (i % 3), 7 + ((i + 1) % 3)));
    }
  });
  out.push(insn(Class.ALU64 | NEG, 7), insn(Class.ALU | END | SRC_X, 8, 0, 0, 16));
  const { JA, CALL, EXIT, JCOND, ...conditions } = Jmp;
  // What a branch changed is loaded anew where its two ways meet: they are one state again, and the walk is short.
  const meet = [Size.H, Size.W, Size.W].map((size, i) =>
    insn(Class.LDX | Mode.MEM | size, 7 + i, 2, 12 + 4 * i),
  );
  Object.values(conditions).forEach((op, i) => {
    for (const cls of [Class.JMP, Class.JMP32]) {
      out.push(insn(cls | op, 7 + (i % 3), 0, 1, 3 * i), insn(Class.ALU64 | Alu.ADD, 7, 0, 0, i), ...meet);
      out.push(insn(cls | op | SRC_X, 7, 8, 1), insn(Class.ALU | Alu.XOR | SRC_X, 9, 8), ...meet);
    }
  });
  return out;
}

function specimen(): ProgramSpec {
  const body = mixture();
  const mov = Class.ALU64 | Alu.MOV;
  const insns = [
    insn(mov | SRC_X, 6, 1),
    insn(OP_CALL, 0, 0, 0, KTIME),
    insn(mov | SRC_X, 9, 0),
    insn(Class.LDX | Mode.MEM | Size.W, 2, 6, 0),
    insn(Class.LDX | Mode.MEM | Size.W, 3, 6, 4),
    insn(mov | SRC_X, 4, 2),
    insn(Class.ALU64 | Alu.ADD, 4, 0, 0, PROVEN),
    insn(Class.JMP | Jmp.JGT | SRC_X, 4, 3, body.length),
    ...body,
    insn(mov, 0, 0, 0, 2),
    insn(OP_EXIT),
  ];
  return { name: 'warm_up', type: 'xdp', license: 'GPL', insns, maps: {} };
}

/** Rounds until `busy` has settled, or ROUNDS of them. Returns how many. */
export async function warmUpRounds(busy: Promise<unknown>): Promise<number> {
  let settled = false;
  const settle = (): void => {
    settled = true;
  };
  busy.then(settle, settle);
  const program = specimen();
  const object = existsSync(OBJECT);
  let round = 0;
  for (; round < ROUNDS && !settled; round++) {
    compileProgram(verify(program), {});
    if (object) openObject(OBJECT);
    // What the threads say is heard in between.
    await setImmediate();
  }
  return round;
}

let done = false;

/** The same once in a process: afterwards it returns 0. */
export async function warmUpPipeline(busy: Promise<unknown>): Promise<number> {
  if (done) return 0;
  done = true;
  return warmUpRounds(busy);
}
