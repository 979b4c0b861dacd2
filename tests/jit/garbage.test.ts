/**
 * Guarded mode takes code that nobody has looked at: random instructions must be refused, run, or end in a fault,
 * and whatever they do is what the checked interpreter says they do.
 */

import type { Insn } from '../../host/bpf/insn.js';
import { FRAME_BYTES, Machine } from '../../host/bpf/interp/machine.js';
import { InterpFault, Regions } from '../../host/bpf/interp/regions.js';
import { compileGuarded } from '../../host/bpf/jit/compile.js';
import { GuardedProgram, GuardFault } from '../../host/bpf/jit/guarded.js';
import { checkWellformed } from '../../host/bpf/wellformed.js';
import { EtherloomError } from '../../host/errors.js';
import { exit, ldx, Size, spec } from '../support/insns.js';
import { randomBelow } from '../support/random.js';
import { assert, suite } from '../support/suite.js';

const test = suite('jit: garbage');

const LO = 4096;
const STACK = LO + 8 * FRAME_BYTES;
const HI = STACK + 64;
const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const u8 = new Uint8Array(memory.buffer);
const dv = new DataView(memory.buffer);

const OPCODES = Array.from({ length: 256 }, (_, op) => op).filter(op => {
  try {
    checkWellformed([
      {
        op,
        dst: 1,
        src: op === 0x18 ? 0 : (op & 8) !== 0 && (op & 7) > 3 ? 2 : 0,
        off: 0,
        imm: op === 0xd4 || op === 0xdc || op === 0xd7 ? 16 : 0,
      },
      ...(op === 0x18 ? [{ op: 0, dst: 0, src: 0, off: 0, imm: 0 }] : []),
      exit(),
    ]);
    return true;
  } catch {
    return [0xc3, 0xdb, 0x05, 0x06, 0x85, 0x63, 0x6b, 0x73, 0x7b, 0x61, 0x69, 0x71, 0x79].includes(op);
  }
});
const ATOMICS = [0, 1, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0x100, 0x110];

/** Mostly well formed, often near the region, never in order. */
function generate(next: (n: number) => number): Insn[] {
  const n = 4 + next(30);
  const insns: Insn[] = [];
  for (let i = 0; i < n; i++) {
    const op = OPCODES[next(OPCODES.length)];
    const cls = op & 7;
    const x = (op & 8) !== 0;
    const code = op & 0xf0;
    const target = next(n + 1) - i - 1;
    const any: Insn = { op, dst: next(next(8) ? 10 : 11), src: 0, off: 0, imm: 0 };
    if (cls === 4 || cls === 7) {
      if (code === 0xd0) any.imm = [16, 32, 64][next(3)];
      else if (code !== 0x80) {
        if (x) any.src = next(11);
        else any.imm = next(2) ? next(64) : next(0x7fffffff) * (next(2) ? 1 : -1);
        if (code === 0x30 || code === 0x90) any.off = next(2);
        if (code === 0xb0 && x) any.off = [0, 8, 16][next(3)];
      }
    } else if (cls === 5 || cls === 6) {
      if (op === 0x06) any.imm = target;
      else any.off = target;
      if (op === 0x05 || op === 0x06 || op === 0xe5) any.dst = 0;
      else if (op === 0x95) {
        any.dst = 0;
        any.off = 0;
      } else if (op === 0x85) {
        Object.assign(any, { dst: 0, src: next(4) ? 1 : 0, off: 0, imm: next(4) ? target : next(9) });
      } else if (x) any.src = next(11);
      else any.imm = next(200) - 100;
    } else if (cls === 0) {
      if (op !== 0x18) continue;
      insns.push(
        { ...any, imm: next(2) ? STACK + next(80) - 8 : next(0x7fffffff) },
        { op: 0, dst: 0, src: 0, off: 0, imm: next(3) ? 0 : next(9) },
      );
      continue;
    } else {
      // Bases that often point somewhere: r1 (memory) and r10 (stack).
      const base = next(4) ? [1, 10][next(2)] : next(11);
      any.off = base === 10 ? -next(520) : next(70) - 3;
      if (cls === 1) {
        any.src = base;
      } else {
        any.dst = base;
        if (cls === 2) any.imm = next(1000) - 500;
        else any.src = next(11);
        if ((op & 0xe0) === 0xc0) {
          any.imm = ATOMICS[next(ATOMICS.length)];
          any.off = next(8) ? any.off & ~7 : any.off;
          if (any.imm === 0x100) [any.dst, any.src] = [any.src, base];
        }
      }
    }
    insns.push(any);
  }
  insns.push(exit());
  return insns;
}

interface Ending {
  r0?: bigint;
  insn?: number;
  reason?: string;
  addr?: bigint;
  memory: string;
}

const HELPERS = new Map([[0, 'sum']]);
const sum = (a: bigint, b: bigint, c: bigint, d: bigint, e: bigint): bigint =>
  BigInt.asUintN(64, a + b + c + d + e);

function reset(): void {
  u8.fill(0, LO, HI);
  for (let i = 0; i < 64; i++) u8[STACK + i] = i * 7;
}

/** The rest of the stack may differ: frames that were left are not compared. */
const after = (): string => Buffer.from(u8.slice(STACK, HI)).toString('hex');

function interpreted(insns: Insn[]): Ending {
  reset();
  const regions = new Regions();
  const all = regions.add({ name: 'region', lo: LO, hi: HI, write: true });
  const machine = new Machine(
    insns,
    {
      dv,
      regions,
      helper(m, id, pc) {
        const [, a, b, c, d, e] = m.regs;
        if (id !== 0) throw new InterpFault('helper', pc, 'none');
        return sum(a, b, c, d, e);
      },
      kfunc: (_m, _id, pc) => {
        throw new InterpFault('helper', pc, 'none');
      },
      mapAddress: (_k, _v, _o, pc) => {
        throw new InterpFault('map', pc, 'none');
      },
      packetLoad: () => undefined,
    },
    { left: 20_000 },
    { lo: all.lo },
    8,
  );
  machine.regs[1] = BigInt(STACK);
  machine.regs[2] = 64n;
  try {
    return { r0: machine.call(0, STACK), memory: after() };
  } catch (error) {
    if (!(error instanceof InterpFault)) throw error;
    const known = { bounds: 'bounds', align: 'align', budget: 'fuel', depth: 'stack' }[error.rule as string];
    return { insn: error.insn, reason: known ?? error.rule, memory: after() };
  }
}

function guarded(insns: Insn[]): Ending {
  reset();
  const program = new GuardedProgram(
    compileGuarded(spec(insns, 'unspec'), { helpers: HELPERS }),
    { memory, lo: LO, hi: HI, stack: STACK },
    { sum: (...args) => BigInt.asIntN(64, sum(...args)) },
  );
  try {
    return { r0: program.enter(BigInt(STACK), 64n, 20_000n), memory: after() };
  } catch (error) {
    if (!(error instanceof GuardFault)) throw error;
    return { insn: error.insn, reason: error.reason, memory: after() };
  }
}

test('4,000 random programs: refused by both, or the same result, or the same fault', () => {
  const next = randomBelow(99);
  const seen: Record<string, number> = {};
  for (let n = 0; n < 4000; n++) {
    const insns = generate(next);
    let refused = false;
    try {
      checkWellformed(insns);
    } catch (error) {
      assert.instance(error, EtherloomError);
      refused = true;
    }
    let got: Ending;
    try {
      got = guarded(insns);
    } catch (error) {
      assert.instance(error, EtherloomError, `${n}: ${error}`);
      assert.ok(refused || (error as EtherloomError).code === 'ERR_JIT_HELPER', `${n}: ${error}`);
      seen.refused = (seen.refused ?? 0) + 1;
      continue;
    }
    assert.not.ok(refused);
    const want = interpreted(insns);
    const kind = want.reason ?? 'result';
    seen[kind] = (seen[kind] ?? 0) + 1;
    // A spent meter stops the two at different instructions, and deep recursion may meet either end first.
    if (kind === 'fuel' || kind === 'stack') {
      assert.ok(
        got.reason === 'fuel' || got.reason === 'stack',
        `${n}: ${got.reason ?? 'result'}, not ${kind}`,
      );
      continue;
    }
    assert.equal(got, want, `program ${n}`);
  }
  // Every way to end was seen, or the generator tests nothing.
  for (const kind of ['refused', 'result', 'bounds', 'align', 'fuel', 'stack'])
    assert.ok((seen[kind] ?? 0) > 5, `${kind}: ${JSON.stringify(seen)}`);
});

test('accesses at every distance from the region’s ends', () => {
  for (const [size, n] of [
    [Size.B, 1],
    [Size.H, 2],
    [Size.W, 4],
    [Size.DW, 8],
  ])
    for (const base of [LO, HI])
      for (let d = -9; d <= 9; d++) {
        const program = [
          { op: 0x18, dst: 1, src: 0, off: 0, imm: base },
          { op: 0, dst: 0, src: 0, off: 0, imm: 0 },
          ldx(size, 0, 1, d),
          exit(),
        ];
        const inside = base + d >= LO && base + d + n <= HI;
        assert.is(guarded(program).reason, inside ? undefined : 'bounds', `${n} at ${base} + ${d}`);
      }
});
