/**
 * Writes WebAssembly binaries: types, imports, functions, mutable globals, exports, code, and the name section.
 * Only what the JIT needs; the shape of a module is in the core specification §5.5.
 */
import { I32, Op, type ValueType } from './opcodes.js';

/** Growing byte buffer with LEB128. */
export class Bytes {
  #buf = new Uint8Array(256);
  length = 0;

  #room(n: number): void {
    if (this.length + n <= this.#buf.length) return;
    const next = new Uint8Array(Math.max(this.#buf.length * 2, this.length + n));
    next.set(this.#buf.subarray(0, this.length));
    this.#buf = next;
  }

  byte(b: number): this {
    if (this.length === this.#buf.length) this.#room(1);
    this.#buf[this.length++] = b;
    return this;
  }

  bytes(b: Uint8Array): this {
    this.#room(b.length);
    this.#buf.set(b, this.length);
    this.length += b.length;
    return this;
  }

  /** Unsigned LEB128 of a u32. */
  u32(n: number): this {
    n >>>= 0;
    while (n > 127) {
      this.byte((n & 127) | 128);
      n >>>= 7;
    }
    return this.byte(n);
  }

  /** Signed LEB128 of an i32. */
  s32(n: number): this {
    n |= 0;
    for (;;) {
      const b = n & 127;
      n >>= 7;
      if ((n === 0 && !(b & 64)) || (n === -1 && b & 64)) return this.byte(b);
      this.byte(b | 128);
    }
  }

  /** Signed LEB128 of a 64-bit value; the unsigned form is taken as its two's complement. */
  s64(v: bigint): this {
    v = BigInt.asIntN(64, v);
    if (v >= -0x80000000n && v <= 0x7fffffffn) return this.s32(Number(v));
    for (;;) {
      const b = Number(v & 127n);
      v >>= 7n;
      if ((v === 0n && !(b & 64)) || (v === -1n && b & 64)) return this.byte(b);
      this.byte(b | 128);
    }
  }

  text(text: string): this {
    const utf8 = new TextEncoder().encode(text);
    return this.u32(utf8.length).bytes(utf8);
  }

  view(): Uint8Array {
    return this.#buf.subarray(0, this.length);
  }
}

/** A function under construction. `index` counts imported functions first. */
export class FunctionBuilder extends Bytes {
  readonly #locals: ValueType[] = [];
  readonly #localNames = new Map<number, string>();

  constructor(
    readonly index: number,
    readonly name: string,
    readonly typeIndex: number,
    readonly paramCount: number,
  ) {
    super();
  }

  /** New local; parameters are locals 0 …. */
  local(type: ValueType, name?: string): number {
    const index = this.paramCount + this.#locals.push(type) - 1;
    if (name) this.#localNames.set(index, name);
    return index;
  }

  nameLocal(index: number, name: string): void {
    this.#localNames.set(index, name);
  }

  get localNames(): ReadonlyMap<number, string> {
    return this.#localNames;
  }

  op(op: number): this {
    return this.byte(op);
  }

  /** Opcode with one index. */
  op1(op: number, index: number): this {
    return this.byte(op).u32(index);
  }

  get(local: number): this {
    return this.op1(Op.local_get, local);
  }

  set(local: number): this {
    return this.op1(Op.local_set, local);
  }

  tee(local: number): this {
    return this.op1(Op.local_tee, local);
  }

  i32(n: number): this {
    return this.byte(Op.i32_const).s32(n);
  }

  i64(v: bigint): this {
    return this.byte(Op.i64_const).s64(v);
  }

  /** Load or store with its static offset. Alignment is a hint: 0 (any) is always true. */
  mem(op: number, offset: number): this {
    return this.byte(op).byte(0).u32(offset);
  }

  /** Atomic access; alignment must be the natural one (log2 of the size). */
  atomic(op: number, log2Size: number, offset: number): this {
    return this.byte(Op.atomic).byte(op).byte(log2Size).u32(offset);
  }

  /** Body with its locals, as the code section wants it. */
  body(): Uint8Array {
    const head = new Bytes();
    const runs: { type: ValueType; n: number }[] = [];
    for (const type of this.#locals) {
      const last = runs.at(-1);
      if (last?.type === type) last.n++;
      else runs.push({ type, n: 1 });
    }
    head.u32(runs.length);
    for (const run of runs) head.u32(run.n).byte(run.type);
    return head.bytes(this.view()).byte(Op.end).view();
  }
}

interface Import {
  module: string;
  name: string;
  descriptor: Bytes;
}

const FUNC = 0;
const TABLE = 1;
const MEMORY = 2;
const GLOBAL = 3;

export class ModuleBuilder {
  readonly #types: string[] = [];
  readonly #typeBytes: Bytes[] = [];
  readonly #imports: Import[] = [];
  readonly #importedNames: string[] = [];
  readonly #functions: FunctionBuilder[] = [];
  readonly #globals: Bytes[] = [];
  readonly #globalNames: string[] = [];
  readonly #exports: { name: string; kind: number; index: number }[] = [];
  #importedFunctions = 0;
  #importedGlobals = 0;

  constructor(readonly name = '') {}

  typeIndex(params: readonly ValueType[], results: readonly ValueType[]): number {
    const key = `${params.join()}>${results.join()}`;
    const known = this.#types.indexOf(key);
    if (known >= 0) return known;
    const b = new Bytes().byte(0x60).u32(params.length);
    for (const p of params) b.byte(p);
    b.u32(results.length);
    for (const r of results) b.byte(r);
    this.#typeBytes.push(b);
    return this.#types.push(key) - 1;
  }

  /** All function imports come before the first addFunction: their indices lie below. */
  importFunction(
    module: string,
    name: string,
    params: readonly ValueType[],
    results: readonly ValueType[],
  ): number {
    if (this.#functions.length) throw new Error('function import after a function');
    const descriptor = new Bytes().byte(FUNC).u32(this.typeIndex(params, results));
    this.#imports.push({ module, name, descriptor });
    this.#importedNames.push(`${module}.${name}`);
    return this.#importedFunctions++;
  }

  /** Shared memory; the limits fit every arena. */
  importMemory(module: string, name: string): void {
    const descriptor = new Bytes().byte(MEMORY).byte(3).u32(1).u32(65536);
    this.#imports.push({ module, name, descriptor });
  }

  importTable(module: string, name: string): void {
    const descriptor = new Bytes().byte(TABLE).byte(0x70).byte(0).u32(0);
    this.#imports.push({ module, name, descriptor });
  }

  /** Immutable global. Comes before the first addGlobal. */
  importGlobal(module: string, name: string, type: ValueType): number {
    if (this.#globals.length) throw new Error('global import after a global');
    this.#imports.push({ module, name, descriptor: new Bytes().byte(GLOBAL).byte(type).byte(0) });
    this.#globalNames.push(name);
    return this.#importedGlobals++;
  }

  /** Mutable global, initially 0. */
  addGlobal(type: ValueType, name: string): number {
    const b = new Bytes().byte(type).byte(1);
    if (type === I32) b.byte(Op.i32_const).s32(0);
    else b.byte(Op.i64_const).s32(0);
    this.#globals.push(b.byte(Op.end));
    this.#globalNames.push(name);
    return this.#importedGlobals + this.#globals.length - 1;
  }

  addFunction(name: string, params: readonly ValueType[], results: readonly ValueType[]): FunctionBuilder {
    const f = new FunctionBuilder(
      this.#importedFunctions + this.#functions.length,
      name,
      this.typeIndex(params, results),
      params.length,
    );
    this.#functions.push(f);
    return f;
  }

  exportFunction(name: string, f: FunctionBuilder): void {
    this.#exports.push({ name, kind: FUNC, index: f.index });
  }

  exportGlobal(name: string, index: number): void {
    this.#exports.push({ name, kind: GLOBAL, index });
  }

  finish(): Uint8Array<ArrayBuffer> {
    const out = new Bytes().bytes(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    const section = (id: number, entries: readonly unknown[], write: (b: Bytes) => void): void => {
      if (entries.length === 0) return;
      const b = new Bytes().u32(entries.length);
      write(b);
      out.byte(id).u32(b.length).bytes(b.view());
    };
    section(1, this.#typeBytes, b => {
      for (const type of this.#typeBytes) b.bytes(type.view());
    });
    section(2, this.#imports, b => {
      for (const i of this.#imports) b.text(i.module).text(i.name).bytes(i.descriptor.view());
    });
    section(3, this.#functions, b => {
      for (const f of this.#functions) b.u32(f.typeIndex);
    });
    section(6, this.#globals, b => {
      for (const g of this.#globals) b.bytes(g.view());
    });
    section(7, this.#exports, b => {
      for (const e of this.#exports) b.text(e.name).byte(e.kind).u32(e.index);
    });
    section(10, this.#functions, b => {
      for (const f of this.#functions) {
        const body = f.body();
        b.u32(body.length).bytes(body);
      }
    });
    this.#names(out);
    return new Uint8Array(out.view());
  }

  /** Custom section "name" (core specification, appendix 7.4.1): module, functions, locals, globals. */
  #names(out: Bytes): void {
    const b = new Bytes().text('name');
    const part = (id: number, write: (p: Bytes) => void): void => {
      const p = new Bytes();
      write(p);
      b.byte(id).u32(p.length).bytes(p.view());
    };
    if (this.name) part(0, p => p.text(this.name));
    part(1, p => {
      p.u32(this.#importedNames.length + this.#functions.length);
      this.#importedNames.forEach((name, i) => {
        p.u32(i).text(name);
      });
      for (const f of this.#functions) p.u32(f.index).text(f.name);
    });
    const withLocals = this.#functions.filter(f => f.localNames.size);
    part(2, p => {
      p.u32(withLocals.length);
      for (const f of withLocals) {
        p.u32(f.index).u32(f.localNames.size);
        for (const [i, name] of [...f.localNames].sort((x, y) => x[0] - y[0])) p.u32(i).text(name);
      }
    });
    if (this.#globalNames.length)
      part(7, p => {
        p.u32(this.#globalNames.length);
        this.#globalNames.forEach((name, i) => {
          p.u32(i).text(name);
        });
      });
    out.byte(0).u32(b.length).bytes(b.view());
  }
}
