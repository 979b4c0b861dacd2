/**
 * Random programs that look like what people write: packets are parsed behind bounds checks, maps looked up and checked
 * for null, scalars bounded and used as offsets, helpers called, loops counted, functions and callbacks called.
 * Every piece stands on its own; bounds are now and then one off (`near`), and mutate.ts breaks more.
 *
 * Registers: r6 the context, r7 an unknown scalar, r8 a pointer kept over several pieces, r9 the loop counter;
 * r0–r5 belong to the piece. Stack: -8…-64 initialised at the start, -72…-128 spills, -136…-256 keys and buffers.
 */
import { Alu, Atomic, Class, Jmp, Mode, SRC_X } from '../../../host/bpf/insn.js';
import type { ProgramSpec, ProgramType } from '../../../host/bpf/spec.js';
import type { Rng } from '../fuzz.js';
import { Code, type Label, SIZE_BITS } from './code.js';
import { Key, LOOKUPS, MAPS } from './maps.js';

const CTX = 6;
const SCALAR = 7;
const KEPT = 8;
const COUNTER = 9;
const INIT_BYTES = 64;

/** Helper numbers (include/uapi/linux/bpf.h). */
const H = {
  lookup: 1,
  update: 2,
  delete: 3,
  ktime: 5,
  prandom: 7,
  skbStore: 9,
  tailCall: 12,
  skbLoad: 26,
  csumDiff: 28,
  pullData: 39,
  adjustHead: 44,
  adjustMeta: 54,
  adjustTail: 65,
  push: 87,
  pop: 88,
  peek: 89,
  spinLock: 93,
  spinUnlock: 94,
  strtol: 105,
  ringOutput: 130,
  ringReserve: 131,
  ringSubmit: 132,
  ringDiscard: 133,
  forEach: 164,
  loop: 181,
  xdpLoad: 189,
  xdpStore: 190,
} as const;

/** What r8 points to, and how many bytes from it on may be used. */
type Kept = { kind: 'value' | 'packet' | 'stack'; bytes: number; readOnly?: boolean };

interface Context {
  data: number;
  dataEnd: number;
  /** Readable 32-bit fields. */
  fields: readonly number[];
}
const CONTEXTS: Record<'xdp' | 'tc' | 'socket_filter', Context> = {
  xdp: { data: 0, dataEnd: 4, fields: [12, 16] },
  tc: { data: 76, dataEnd: 80, fields: [0, 4, 8, 12, 16, 40, 48, 68] },
  socket_filter: { data: 0, dataEnd: 0, fields: [0, 4, 8, 16, 48, 68] },
};

export class ProgramGenerator {
  private readonly code = new Code();
  private readonly out: Label;
  private readonly functions: (() => void)[] = [];
  private readonly ctx: Context;
  private kept: Kept | undefined;
  private inLoop = false;

  constructor(
    private readonly rng: Rng,
    private readonly type: 'xdp' | 'tc' | 'socket_filter',
  ) {
    this.out = this.code.label();
    this.ctx = CONTEXTS[type];
  }

  program(pieces: number): ProgramSpec {
    const { code, rng } = this;
    code.mov(CTX, 1);
    for (let off = 8; off <= INIT_BYTES; off += 8) code.storeImm(8, 10, -off, rng.below(64));
    this.source(SCALAR);
    code.movImm(COUNTER, 0);
    for (let i = 0; i < pieces; i++) this.piece(0);
    code.movImm(0, rng.below(5));
    code.exit();
    if (code.used(this.out)) {
      code.place(this.out);
      code.movImm(0, 1);
      code.exit();
    }
    // Bodies may add further functions.
    for (let i = 0; i < this.functions.length; i++) this.functions[i]();
    return { name: 'random', type: this.type, license: 'GPL', insns: code.insns(), maps: MAPS };
  }

  /** Almost always n; now and then just beside it. */
  private near(n: number): number {
    return this.rng.chance(0.985) ? n : n + this.rng.pick([-8, -1, 1, 1, 2, 8]);
  }

  private size(most = 8): number {
    return this.rng.pick([1, 2, 4, 8].filter(s => s <= most));
  }

  private piece(nesting: number): void {
    const pieces: (() => void)[] = [
      () => this.noise(),
      () => this.noise(),
      () => this.source(SCALAR),
      () => this.stackConstant(),
      () => this.stackVariable(),
      () => this.spill(),
      () => this.value(),
      () => this.value(),
      () => this.keepValue(),
      () => this.useKept(),
      () => this.useKept(),
      () => this.atomic(),
      () => this.csum(),
      () => this.bytes(),
      () => this.mapWrite(),
      () => this.ring(),
      () => this.linked(),
      () => this.queue(),
      () => this.locked(),
      () => this.inner(),
      () => this.constants(),
      () => this.tail(),
      () => this.text(),
    ];
    if (this.type !== 'socket_filter')
      pieces.push(
        () => this.packet(),
        () => this.packet(),
        () => this.packet(),
        () => this.keepPacket(),
        () => this.move(),
      );
    else pieces.push(() => this.legacy());
    if (nesting < 2) {
      pieces.push(
        () => this.branch(nesting),
        () => this.branch(nesting),
        () => this.loop(nesting),
        () => this.function(),
        () => this.callback(),
      );
    }
    this.rng.pick(pieces)();
  }

  // ── scalars ───────────────────────────────────────────────────────────────

  /** Something unknown into `dst`. Destroys r0–r5 at times. */
  private source(dst: number): void {
    const { code, rng } = this;
    const kind = rng.below(5);
    if (kind === 0) {
      code.call(H.prandom);
      code.mov(dst, 0);
      if (rng.chance(0.5)) code.alu(Alu.AND, dst, { imm: 127 });
    } else if (kind === 1) code.load(4, dst, CTX, rng.pick(this.ctx.fields));
    else if (kind === 2) {
      const size = this.size();
      code.load(size, dst, 10, -size * rng.between(1, INIT_BYTES / size), size < 8 && rng.chance(0.3));
    } else if (kind === 3) {
      code.call(H.ktime);
      code.mov(dst, 0);
    } else code.load(4, dst, CTX, rng.pick(this.ctx.fields));
  }

  /** Arithmetic on the scalars, never on pointers. */
  private noise(): void {
    const { code, rng } = this;
    const wide = rng.chance(0.6);
    for (let i = rng.between(1, 4); i > 0; i--) {
      const kind = rng.below(10);
      const op = rng.pick([Alu.ADD, Alu.SUB, Alu.MUL, Alu.OR, Alu.AND, Alu.XOR, Alu.MOV]);
      if (kind < 4) code.alu(op, SCALAR, { imm: this.constant() }, wide);
      else if (kind < 5) code.alu(op, SCALAR, { reg: COUNTER }, wide);
      else if (kind < 7)
        code.alu(rng.pick([Alu.LSH, Alu.RSH, Alu.ARSH]), SCALAR, { imm: rng.below(wide ? 64 : 32) }, wide);
      else if (kind < 8)
        code.alu(rng.pick([Alu.DIV, Alu.MOD]), SCALAR, { imm: rng.between(1, 100) }, wide, rng.below(2));
      else if (kind < 9)
        code.alu(Alu.MOV, SCALAR, { reg: SCALAR }, wide, rng.pick(wide ? [0, 8, 16, 32] : [0, 8, 16]));
      else if (rng.chance(0.5)) code.op((wide ? Class.ALU64 : Class.ALU) | Alu.NEG, SCALAR);
      else code.op(Class.ALU | rng.pick([0, SRC_X]) | Alu.END, SCALAR, 0, 0, rng.pick([16, 32, 64]));
    }
  }

  private constant(): number {
    const { rng } = this;
    return rng.chance(0.6)
      ? rng.between(-64, 64)
      : rng.pick([255, 256, 0xffff, 0x7fff_ffff, -0x8000_0000, 4096, 1 << 20, 0xffff_fff0 | 0]);
  }

  /** Makes `reg` at most `max` (and not negative), in one of many ways; other values leave the program. */
  private bound(reg: number, most: number): void {
    const { code, rng } = this;
    const max = this.near(most);
    const mask = (1 << (31 - Math.clz32(max + 1))) - 1;
    const wide = rng.chance(0.7);
    switch (rng.below(17)) {
      case 0:
      case 1:
      case 9:
      case 10:
      case 11:
        code.alu(Alu.AND, reg, { imm: rng.chance(0.97) ? mask : max }, wide);
        break;
      case 2:
        code.branch(Jmp.JGT, reg, { imm: max }, this.out);
        break;
      case 3:
        code.branch(Jmp.JGE, reg, { imm: max + 1 }, this.out);
        break;
      case 4: {
        const good = code.label();
        code.branch(rng.chance(0.5) ? Jmp.JLE : Jmp.JLT, reg, { imm: max }, good);
        code.jump(this.out);
        code.place(good);
        break;
      }
      case 5:
        code.branch(Jmp.JSGT, reg, { imm: max }, this.out);
        if (rng.chance(0.97)) code.branch(Jmp.JSLT, reg, { imm: 0 }, this.out);
        break;
      case 6:
        code.alu(Alu.MOV, reg, { reg }, false);
        code.branch(Jmp.JGT, reg, { imm: max }, this.out, false);
        break;
      case 7:
        code.alu(
          Alu.RSH,
          reg,
          { imm: wide ? 64 - Math.floor(Math.log2(max + 1)) : 32 - Math.floor(Math.log2(max + 1)) },
          wide,
        );
        break;
      case 8:
        code.alu(Alu.MOD, reg, { imm: max + 1 }, wide);
        code.branch(Jmp.JGT, reg, { imm: max }, this.out);
        break;
      default: {
        // Clamped, not refused: the program goes on.
        const good = code.label();
        code.branch(rng.pick([Jmp.JLE, Jmp.JLE, Jmp.JLT]), reg, { imm: max }, good);
        code.movImm(reg, rng.chance(0.5) ? rng.below(max + 1) : max);
        code.place(good);
      }
    }
  }

  /** A copy learns from the original, or the other way round; at times through a shift or a sum, which may not. */
  private linked(): void {
    const { code, rng } = this;
    this.source(1);
    if (rng.chance(0.5)) code.alu(Alu.MOV, 1, { reg: 1 }, false);
    code.alu(Alu.MOV, 2, { reg: 1 }, rng.chance(0.85));
    const delta = rng.chance(0.4) ? rng.between(-8, 8) : 0;
    if (delta) code.alu(Alu.ADD, rng.pick([1, 2]), { imm: delta });
    this.bound(2, 15);
    this.address(3, 10, -32, 1);
    this.access(3, 1, this.near(0));
  }

  /** dst = base + off + reg */
  private address(dst: number, base: number, off: number, reg: number): void {
    const { code } = this;
    code.mov(dst, base);
    if (off) code.alu(Alu.ADD, dst, { imm: off });
    code.alu(Alu.ADD, dst, { reg });
  }

  /** A load or store of `bytes` at base + off. */
  private access(base: number, bytes: number, off: number, readOnly = false): void {
    const { code, rng } = this;
    const write = !readOnly && rng.chance(0.5);
    if (!write) code.load(bytes, rng.pick([0, 4, 5]), base, off, bytes < 8 && rng.chance(0.2));
    else if (rng.chance(0.5)) code.storeImm(bytes, base, off, this.constant());
    else code.store(bytes, base, off, SCALAR);
  }

  // ── stack ─────────────────────────────────────────────────────────────────

  private stackConstant(): void {
    const { code, rng } = this;
    const bytes = this.size();
    const off = this.near(-bytes * rng.between(1, INIT_BYTES / bytes));
    this.access(10, bytes, off);
    if (rng.chance(0.4)) code.load(bytes, SCALAR, 10, off);
  }

  private stackVariable(): void {
    const { rng } = this;
    const bytes = this.size(4);
    const span = rng.pick([8, 16, 32, 64]);
    const off = rng.below(span / 2);
    this.source(1);
    this.bound(1, span - bytes - off);
    this.address(3, 10, -span, 1);
    this.access(3, bytes === 1 ? 1 : this.rng.chance(0.2) ? bytes : 1, this.near(off));
  }

  private spill(): void {
    const { code, rng } = this;
    const off = -72 - 8 * rng.below(6);
    if (this.kept && rng.chance(0.6)) {
      code.store(8, 10, off, KEPT);
      if (rng.chance(0.1)) code.storeImm(this.size(), 10, off + rng.below(8), 0);
      if (rng.chance(0.3)) this.noise();
      code.load(8, KEPT, 10, off);
      this.useKept();
    } else {
      const bytes = rng.pick([4, 8, 8]);
      this.source(1);
      if (rng.chance(0.5)) this.bound(1, 7);
      code.store(bytes, 10, off, 1);
      if (rng.chance(0.3)) this.bound(1, 7);
      code.load(rng.chance(0.9) ? bytes : this.size(), 2, 10, off);
      this.bound(2, 7);
      this.address(3, 10, -16, 2);
      this.access(3, 1, 0);
    }
  }

  // ── map values ────────────────────────────────────────────────────────────

  /** r0 = lookup in `map`, checked for null; r1–r5 are gone. */
  private lookup(map: (typeof LOOKUPS)[number], check = true): void {
    const { code, rng } = this;
    const at = -136 - 8 * rng.below(4);
    const form = rng.below(4);
    if (form < 2) code.storeImm(8, 10, at, map.key === Key.lpm ? 32 : rng.below(6));
    else code.store(form === 2 ? map.keyBytes : 8, 10, at, SCALAR);
    code.mov(2, 10);
    code.alu(Alu.ADD, 2, { imm: at });
    code.map(1, map.key);
    code.call(H.lookup);
    if (!check || rng.chance(0.01)) return;
    if (rng.chance(0.7)) code.branch(Jmp.JEQ, 0, { imm: 0 }, this.out);
    else {
      const found = code.label();
      code.branch(Jmp.JNE, 0, { imm: 0 }, found);
      code.jump(this.out);
      code.place(found);
    }
  }

  private value(): void {
    const map = this.rng.pick(LOOKUPS);
    this.lookup(map);
    this.useMemory(0, map.valueBytes, map.readOnly);
  }

  /** One or two accesses to `size` bytes at `base`, constant or at a bounded offset. Destroys r1, r3–r5. */
  private useMemory(base: number, size: number, readOnly = false, unaligned = false): void {
    const { code, rng } = this;
    for (let i = rng.between(1, 2); i > 0; i--) {
      const bytes = this.size(Math.min(8, size));
      // A variable offset into a packet would have to be proven anew.
      if (rng.chance(unaligned ? 0.97 : 0.5)) {
        const most = size - bytes;
        const off = unaligned ? rng.between(0, most) : bytes * rng.between(0, Math.floor(most / bytes));
        this.access(
          base,
          bytes,
          this.near(rng.chance(0.3) ? most - (unaligned ? 0 : most % bytes) : off),
          readOnly,
        );
      } else {
        const fixed = unaligned ? rng.below(4) : bytes * rng.below(2);
        const most = size - bytes - fixed;
        if (most < 0) continue;
        if (rng.chance(0.5)) code.mov(1, SCALAR);
        else if (base === 0) code.load(1, 1, 10, -1 - rng.below(INIT_BYTES));
        else code.load(4, 1, CTX === base ? CTX : 10, -4 * rng.between(1, 16));
        const scale = unaligned ? 0 : Math.log2(bytes);
        this.bound(1, most >> scale);
        if (scale) code.alu(Alu.LSH, 1, { imm: scale });
        this.address(3, base, 0, 1);
        this.access(3, bytes, this.near(fixed), readOnly);
      }
    }
  }

  private keepValue(): void {
    const map = this.rng.pick(LOOKUPS);
    this.lookup(map);
    this.code.mov(KEPT, 0);
    this.kept = { kind: 'value', bytes: map.valueBytes, readOnly: map.readOnly };
  }

  private useKept(): void {
    if (!this.kept) {
      this.stackConstant();
      return;
    }
    this.useMemory(KEPT, this.kept.bytes, this.kept.readOnly, this.kept.kind === 'packet');
  }

  private atomic(): void {
    const { code, rng } = this;
    const bytes = rng.pick([4, 8] as const);
    const op = rng.pick([
      Atomic.ADD,
      Atomic.OR,
      Atomic.AND,
      Atomic.XOR,
      Atomic.ADD | Atomic.FETCH,
      Atomic.XCHG,
      Atomic.CMPXCHG,
      Atomic.LOAD_ACQ,
      Atomic.STORE_REL,
    ]);
    const load = op === Atomic.LOAD_ACQ;
    if (rng.chance(0.5)) {
      const off = this.near(-bytes * rng.between(1, INIT_BYTES / bytes));
      code.mov(0, SCALAR);
      if (load) code.op(Class.STX | Mode.ATOMIC | SIZE_BITS[bytes], SCALAR, 10, off, op);
      else code.atomic(bytes, op, 10, off, SCALAR);
    } else {
      const map = LOOKUPS[rng.below(4)];
      this.lookup(map);
      code.mov(1, 0);
      code.mov(0, SCALAR);
      const off = this.near(bytes * rng.below(Math.floor(map.valueBytes / bytes)));
      if (load) code.op(Class.STX | Mode.ATOMIC | SIZE_BITS[bytes], SCALAR, 1, off, op);
      else code.atomic(bytes, op, 1, off, SCALAR);
    }
  }

  private constants(): void {
    const { code, rng } = this;
    code.mapValue(1, Key.constants, this.near(rng.below(4) * 8));
    code.load(rng.pick([1, 8]), 2, 1, 0);
    this.lookup(LOOKUPS[0]);
    code.mapValue(3, Key.constants, 16);
    code.load(1, 1, 3, rng.pick([0, 1, 8]));
    if (rng.chance(0.8)) this.bound(1, 40);
    this.address(3, 0, 0, 1);
    this.access(3, 1, 0);
  }

  private inner(): void {
    const { code, rng } = this;
    code.storeImm(8, 10, -136, rng.below(3));
    code.mov(2, 10);
    code.alu(Alu.ADD, 2, { imm: -136 });
    code.map(1, Key.outer);
    code.call(H.lookup);
    if (rng.chance(0.98)) code.branch(Jmp.JEQ, 0, { imm: 0 }, this.out);
    code.mov(1, 0);
    code.mov(2, 10);
    code.alu(Alu.ADD, 2, { imm: -136 });
    code.call(H.lookup);
    if (rng.chance(0.98)) code.branch(Jmp.JEQ, 0, { imm: 0 }, this.out);
    this.useMemory(0, 48);
  }

  private mapWrite(): void {
    const { code, rng } = this;
    const map = LOOKUPS[rng.pick([0, 1, 2, 3])];
    code.storeImm(8, 10, -136, rng.below(6));
    code.mov(2, 10);
    code.alu(Alu.ADD, 2, { imm: -136 });
    code.map(1, map.key);
    if (rng.chance(0.3)) {
      code.call(H.delete);
      return;
    }
    code.mov(3, 10);
    code.alu(Alu.ADD, 3, { imm: rng.chance(0.95) ? -56 : -map.valueBytes + rng.pick([0, 8]) });
    code.movImm(4, rng.below(3));
    code.call(H.update);
  }

  private queue(): void {
    const { code, rng } = this;
    const map = rng.pick([Key.queue, Key.stack, Key.bloom]);
    code.map(1, map);
    code.mov(2, 10);
    code.alu(Alu.ADD, 2, { imm: this.near(rng.chance(0.5) ? -16 : -160) });
    if (rng.chance(0.4) || map === Key.bloom) {
      code.storeImm(8, 10, -160, 5);
      code.storeImm(8, 10, -152, 5);
      if (rng.chance(0.5)) {
        code.movImm(3, rng.below(map === Key.bloom ? 1 : 3));
        code.call(H.push);
      } else code.call(H.peek);
    } else code.call(rng.pick([H.pop, H.peek]));
  }

  private locked(): void {
    const { code, rng } = this;
    if (this.inLoop || this.type === 'socket_filter') {
      this.noise();
      return;
    }
    code.storeImm(4, 10, -136, rng.below(3));
    code.mov(2, 10);
    code.alu(Alu.ADD, 2, { imm: -136 });
    code.map(1, Key.locked);
    code.call(H.lookup);
    code.branch(Jmp.JEQ, 0, { imm: 0 }, this.out);
    code.mov(KEPT, 0);
    this.kept = undefined;
    code.mov(1, KEPT);
    code.call(H.spinLock);
    code.storeImm(4, KEPT, this.near(rng.pick([4, 8, 12])), 1);
    if (rng.chance(0.4)) code.load(4, 3, KEPT, 4);
    code.mov(1, KEPT);
    if (rng.chance(0.98)) code.call(H.spinUnlock);
  }

  // ── packets ───────────────────────────────────────────────────────────────

  /** r2 = data, r3 = end, at least `bytes` proven from r2 on, in one of eight forms. Uses r4. */
  private prove(bytes: number): void {
    const { code, rng } = this;
    code.load(4, 2, CTX, this.ctx.data);
    code.load(4, 3, CTX, this.ctx.dataEnd);
    code.mov(4, 2);
    code.alu(Alu.ADD, 4, { imm: bytes });
    this.atLeast(4, 3, rng.chance(0.02));
  }

  /** Leaves the program when `at` is beyond `end`. */
  private atLeast(at: number, end: number, wrong: boolean): void {
    const { code, rng } = this;
    const [beyond, within] = wrong ? [Jmp.JLE, Jmp.JGT] : [Jmp.JGT, Jmp.JLE];
    const turned: Record<number, number> = { [Jmp.JGT]: Jmp.JLT, [Jmp.JLE]: Jmp.JGE };
    const form = rng.below(5);
    if (form === 0) code.branch(beyond, at, { reg: end }, this.out);
    else if (form === 1) code.branch(turned[beyond], end, { reg: at }, this.out);
    else if (form === 2) code.branch(Jmp.JGE, at, { reg: end }, this.out);
    else {
      const good = code.label();
      if (form === 3) code.branch(within, at, { reg: end }, good);
      else code.branch(turned[within], end, { reg: at }, good);
      code.jump(this.out);
      code.place(good);
    }
  }

  private packet(): void {
    const { code, rng } = this;
    const bytes = rng.pick([1, 4, 14, 20, 34, 54]);
    this.prove(bytes);
    if (rng.chance(0.6)) {
      this.useMemory(2, bytes, false, true);
      return;
    }
    // A header of variable length behind the proven part.
    const most = rng.pick([15, 60, 255]);
    const then = rng.pick([1, 2, 4, 8]);
    code.load(1, 1, 2, rng.below(bytes));
    this.bound(1, most);
    this.address(5, 2, rng.chance(0.5) ? rng.below(bytes) : 0, 1);
    code.mov(4, 5);
    code.alu(Alu.ADD, 4, { imm: this.near(then) });
    if (rng.chance(0.98)) this.atLeast(4, 3, false);
    code.load(then, 0, 5, this.near(0));
    if (rng.chance(0.4)) code.store(1, 5, this.near(then - 1), 0);
  }

  private keepPacket(): void {
    const bytes = this.rng.pick([8, 14, 34]);
    this.prove(bytes);
    this.code.mov(KEPT, 2);
    this.kept = { kind: 'packet', bytes };
  }

  /** Helpers that move the packet: what was proven is void. */
  private move(): void {
    const { code, rng } = this;
    code.mov(1, CTX);
    if (this.type === 'xdp') {
      const amount = rng.pick([-8, -4, 0, 4, 8, 14]);
      if (rng.chance(0.8)) code.movImm(2, amount);
      else code.mov(2, SCALAR);
      code.call(rng.pick([H.adjustHead, H.adjustMeta, H.adjustTail]));
    } else {
      code.movImm(2, rng.below(64));
      code.call(H.pullData);
    }
    if (this.kept?.kind === 'packet' && rng.chance(0.97)) this.kept = undefined;
  }

  private legacy(): void {
    const { code, rng } = this;
    const size = SIZE_BITS[rng.pick([1, 2, 4])];
    if (rng.chance(0.5)) code.op(Class.LD | Mode.ABS | size, 0, 0, 0, rng.below(80));
    else code.op(Class.LD | Mode.IND | size, 0, SCALAR, 0, rng.below(16));
    code.mov(SCALAR, 0);
  }

  // ── helpers with memory ───────────────────────────────────────────────────

  /** csum_diff over stack, value or packet, its size constant or bounded. */
  private csum(): void {
    const { code, rng } = this;
    if (this.type === 'socket_filter') {
      this.text();
      return;
    }
    const kind = rng.below(3);
    let room: number;
    if (kind === 0) {
      room = 4 * rng.between(1, 16);
      code.mov(1, 10);
      code.alu(Alu.ADD, 1, { imm: -room });
    } else if (kind === 1) {
      const map = rng.pick(LOOKUPS);
      this.lookup(map);
      room = map.valueBytes;
      code.mov(1, 0);
    } else {
      room = 32;
      this.prove(32);
      code.mov(1, 2);
    }
    if (rng.chance(0.6)) code.movImm(2, this.near(room));
    else {
      code.mov(2, SCALAR);
      this.bound(2, room);
      if (rng.chance(0.5)) code.alu(Alu.AND, 2, { imm: -4 });
    }
    code.movImm(3, 0);
    code.movImm(4, 0);
    code.movImm(5, 0);
    code.call(H.csumDiff);
  }

  /** Bytes from or to the packet by helper. */
  private bytes(): void {
    const { code, rng } = this;
    const room = 8 * rng.between(1, 8);
    code.mov(1, CTX);
    if (rng.chance(0.7)) code.movImm(2, rng.below(40));
    else code.mov(2, SCALAR);
    code.mov(3, 10);
    code.alu(Alu.ADD, 3, { imm: -room });
    if (rng.chance(0.6)) code.movImm(4, this.near(room));
    else {
      code.mov(4, SCALAR);
      this.bound(4, room - 1);
      if (rng.chance(0.95)) code.alu(Alu.ADD, 4, { imm: 1 });
    }
    const write = rng.chance(0.3) && this.type !== 'socket_filter';
    code.movImm(5, 0);
    if (this.type === 'xdp') code.call(write ? H.xdpStore : H.xdpLoad);
    else code.call(write ? H.skbStore : H.skbLoad);
    if (write && this.type === 'tc' && this.kept?.kind === 'packet') this.kept = undefined;
  }

  private text(): void {
    const { code } = this;
    code.storeImm(8, 10, -136, 0x3231);
    code.mov(1, 10);
    code.alu(Alu.ADD, 1, { imm: -136 });
    code.movImm(2, this.near(8));
    code.movImm(3, 0);
    code.mov(4, 10);
    code.alu(Alu.ADD, 4, { imm: this.near(-152) });
    code.call(H.strtol);
  }

  private ring(): void {
    const { code, rng } = this;
    code.map(1, Key.ringbuf);
    if (rng.chance(0.4)) {
      code.mov(2, 10);
      code.alu(Alu.ADD, 2, { imm: -32 });
      code.movImm(3, this.near(32));
      code.movImm(4, 0);
      code.call(H.ringOutput);
      return;
    }
    const room = 8 * rng.between(1, 4);
    code.movImm(2, room);
    code.movImm(3, 0);
    code.call(H.ringReserve);
    if (rng.chance(0.98)) code.branch(Jmp.JEQ, 0, { imm: 0 }, this.out);
    code.mov(KEPT, 0);
    this.kept = undefined;
    for (let i = rng.below(3); i > 0; i--) {
      const bytes = this.size();
      this.access(KEPT, bytes, this.near(bytes * rng.below(Math.floor(room / bytes))));
    }
    code.mov(1, KEPT);
    code.movImm(2, 0);
    if (rng.chance(0.98)) code.call(rng.pick([H.ringSubmit, H.ringDiscard]));
    if (rng.chance(0.02)) this.access(KEPT, 4, 0);
  }

  private tail(): void {
    const { code, rng } = this;
    code.mov(1, CTX);
    code.map(2, Key.jumps);
    code.movImm(3, rng.below(5));
    code.call(H.tailCall);
  }

  // ── control flow ──────────────────────────────────────────────────────────

  private branch(nesting: number): void {
    const { code, rng } = this;
    const [otherwise, end] = [code.label(), code.label()];
    const conditions = [Jmp.JEQ, Jmp.JNE, Jmp.JGT, Jmp.JLT, Jmp.JSGE, Jmp.JSLE, Jmp.JSET];
    code.branch(rng.pick(conditions), SCALAR, { imm: this.constant() }, otherwise, rng.chance(0.7));
    const before = this.kept;
    this.piece(nesting + 1);
    const after = this.kept;
    if (rng.chance(0.6)) {
      code.jump(end);
      code.place(otherwise);
      this.kept = before;
      this.piece(nesting + 1);
    } else code.place(otherwise);
    code.place(end);
    // Both sides must agree on what r8 is.
    if (rng.chance(0.97) && (this.kept !== before || after !== before)) this.kept = undefined;
  }

  private loop(nesting: number): void {
    const { code, rng } = this;
    if (this.inLoop) {
      this.noise();
      return;
    }
    const top = code.label();
    const rounds = rng.pick([2, 4, 8, 16]);
    const before = this.kept;
    code.movImm(COUNTER, 0);
    code.place(top);
    this.inLoop = true;
    const kind = rng.below(4);
    if (kind === 0) {
      this.address(3, 10, -rounds, COUNTER);
      this.access(3, 1, this.near(0));
    } else if (kind === 1 && this.kept) {
      const index = Math.min(rounds, this.kept.bytes);
      this.address(3, KEPT, this.near(this.kept.bytes - index), COUNTER);
      this.access(3, 1, 0, this.kept.readOnly);
    } else this.piece(nesting + 1);
    if (rng.chance(0.3)) this.noise();
    this.inLoop = false;
    code.alu(Alu.ADD, COUNTER, { imm: rng.chance(0.95) ? 1 : 2 }, rng.chance(0.8));
    const most = kind === 1 && before ? Math.min(rounds, before.bytes) : rounds;
    if (rng.chance(0.8)) code.branch(Jmp.JLT, COUNTER, { imm: this.near(most) }, top);
    else code.branch(Jmp.JNE, COUNTER, { imm: most }, top);
    // The pointer kept at the loop's head may be another one at its end.
    if (this.kept !== before) this.kept = undefined;
  }

  /** A function that is given memory and an index; it checks the index, or its caller does. */
  private function(): void {
    const { code, rng } = this;
    const label = code.label();
    const kind = rng.below(3);
    let room = 32;
    if (kind === 0) {
      code.mov(1, 10);
      code.alu(Alu.ADD, 1, { imm: -room });
    } else if (kind === 1) {
      const map = LOOKUPS[rng.below(4)];
      room = map.valueBytes;
      this.lookup(map);
      code.mov(1, 0);
    } else {
      if (this.type === 'socket_filter') {
        this.text();
        return;
      }
      this.prove(room);
      code.mov(1, 2);
    }
    code.mov(2, SCALAR);
    const callerChecks = rng.chance(0.5);
    if (callerChecks) this.bound(2, room - 1);
    code.callLocal(label);
    if (rng.chance(0.5)) code.mov(SCALAR, 0);
    this.functions.push(() => {
      const out = this.code.label();
      code.place(label);
      code.movImm(0, 0);
      if (!callerChecks && rng.chance(0.98)) code.branch(Jmp.JGT, 2, { imm: this.near(room - 1) }, out);
      code.alu(Alu.ADD, 1, { reg: 2 });
      if (rng.chance(0.5)) code.load(1, 0, 1, 0);
      else code.storeImm(1, 1, 0, 7);
      if (rng.chance(0.3)) {
        code.storeImm(8, 10, -8, 3);
        code.load(8, 0, 10, -8);
      }
      code.place(out);
      code.exit();
    });
  }

  /** bpf_loop or for_each_map_elem. */
  private callback(): void {
    const { code, rng } = this;
    const label = code.label();
    const each = rng.chance(0.35);
    const map = LOOKUPS[rng.below(4)];
    if (each) code.map(1, map.key);
    else if (rng.chance(0.8)) code.movImm(1, rng.between(0, 12));
    else {
      code.mov(1, SCALAR);
      this.bound(1, 15);
    }
    code.func(2, label);
    code.mov(3, 10);
    code.alu(Alu.ADD, 3, { imm: -32 });
    code.movImm(4, 0);
    code.call(each ? H.forEach : H.loop);
    this.functions.push(() => {
      const stop = this.code.label();
      code.place(label);
      // loop: r1 index, r2 context; for_each: r1 map, r2 key, r3 value, r4 context.
      const memory = each ? rng.pick([2, 3, 4]) : 2;
      const room = !each || memory === 4 ? 32 : memory === 3 ? map.valueBytes : map.keyBytes;
      if (each) {
        const bytes = this.size(Math.min(8, room));
        const off = this.near(bytes * rng.below(Math.floor(room / bytes)));
        if (memory === 2 || rng.chance(0.5)) code.load(bytes, 0, memory, off);
        else code.storeImm(bytes, memory, off, 1);
      } else {
        const counter = rng.chance(0.4);
        if (counter) code.load(8, 1, 2, 24);
        if (rng.chance(0.97)) code.branch(Jmp.JGT, 1, { imm: this.near(room - 9) }, stop);
        code.mov(3, 2);
        code.alu(Alu.ADD, 3, { reg: 1 });
        if (rng.chance(0.5)) code.load(1, 4, 3, 0);
        else code.storeImm(1, 3, 0, 9);
        if (counter) {
          code.alu(Alu.ADD, 1, { imm: 1 });
          code.store(8, 2, 24, 1);
        }
      }
      code.place(stop);
      if (rng.chance(0.97)) code.movImm(0, rng.below(2));
      else code.movImm(0, 2);
      code.exit();
    });
  }
}

/** One random program of one of the three types. */
export function randomProgram(rng: Rng): ProgramSpec {
  const type = rng.pick<ProgramType>(['xdp', 'xdp', 'xdp', 'tc', 'tc', 'socket_filter']);
  return new ProgramGenerator(rng, type as 'xdp' | 'tc' | 'socket_filter').program(rng.between(1, 7));
}
