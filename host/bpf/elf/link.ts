/**
 * The linker: one entry function and every subprogram that it reaches, as one array of slots.
 * The entry comes first; a subprogram is appended once, where it is first called (the order libbpf uses), with its
 * calls, addresses, func_info and line_info moved along. Jumps never leave a function, so they need no change.
 */
import { CallKind, type Insn, OP_CALL, OP_LDDW, Pseudo } from '../insn.js';
import { prototypeMismatch } from '../kfuncs/btf.js';
import { kfuncByName } from '../kfuncs.js';
import type { FuncInfo, LineInfo, MapSpec } from '../spec.js';
import { applyCore } from './core_relo.js';
import { type CodeSection, type ElfFunction, type Functions, INSN_BYTES } from './functions.js';
import type { MapTable } from './map_table.js';
import type { BpfObject } from './object.js';
import { type ElfReloc, Reloc, SHN_UNDEF, Shf, Stb, Stt } from './reader.js';

/** BPF_COMPLEXITY_LIMIT_INSNS of the kernel: no longer program can be verified. */
const MAX_SLOTS = 1_000_000;
/** Slots and records of all programs of a file: subprograms are copied into every program that reaches them. */
const MAX_TOTAL = 2_000_000;
/** kfuncs that BTF does not list are numbered from here, above every type id. */
const UNLISTED_KFUNC = 0x4000_0000;

export interface Linked {
  insns: Insn[];
  maps: Record<number, MapSpec>;
  funcs: FuncInfo[];
  lines: LineInfo[];
  kfuncs: Record<number, string>;
}

/** A function copied into the program that is being linked. */
interface Placed {
  fn: ElfFunction;
  code: CodeSection;
  /** Slot in the linked program. */
  at: number;
}

/** What the programs of one file may still take. */
export interface LinkBudget {
  left: number;
}

export const linkBudget = (): LinkBudget => ({ left: MAX_TOTAL });

/** @throws EtherloomError ERR_ELF_RELOC, ERR_ELF_CALL, ERR_ELF_EXTERN, ERR_ELF_KFUNC, ERR_ELF_CORE, ERR_ELF_SIZE */
export function link(
  object: BpfObject,
  functions: Functions,
  maps: MapTable,
  entry: ElfFunction,
  budget: LinkBudget,
): Linked {
  return new Linker(object, functions, maps, budget).run(entry);
}

class Linker {
  private readonly out: Linked = { insns: [], maps: {}, funcs: [], lines: [], kfuncs: {} };
  private readonly placed = new Map<ElfFunction, Placed>();

  constructor(
    private readonly object: BpfObject,
    private readonly functions: Functions,
    private readonly maps: MapTable,
    private readonly budget: LinkBudget,
  ) {}

  run(entry: ElfFunction): Linked {
    // Depth first with a stack of our own: a hostile call chain must not end ours.
    const stack: { placed: Placed; slot: number }[] = [{ placed: this.place(entry), slot: 0 }];
    while (stack.length) {
      const top = stack[stack.length - 1];
      if (top.slot === top.placed.fn.end - top.placed.fn.start) {
        stack.pop();
        continue;
      }
      const callee = this.relocate(top.placed, top.slot);
      const wide = this.out.insns[top.placed.at + top.slot].op === OP_LDDW;
      top.slot += wide && top.slot + 1 < top.placed.fn.end - top.placed.fn.start ? 2 : 1;
      if (callee) stack.push({ placed: callee, slot: 0 });
    }
    return this.out;
  }

  /** Appends a copy of the function. */
  private place(fn: ElfFunction): Placed {
    const code = this.functions.code(fn.section.index)!;
    const placed: Placed = { fn, code, at: this.out.insns.length };
    if (placed.at + fn.end - fn.start > MAX_SLOTS)
      throw this.object.fail(
        'ERR_ELF_SIZE',
        `program with ${fn.name} is too long`,
        fn.section.offset,
        `${MAX_SLOTS} slots`,
      );
    this.spend(fn.end - fn.start, fn);
    this.placed.set(fn, placed);
    for (let i = fn.start; i < fn.end; i++) this.out.insns.push({ ...code.insns[i] });
    this.describe(placed);
    return placed;
  }

  private spend(count: number, fn: ElfFunction): void {
    this.budget.left -= count;
    if (this.budget.left < 0)
      throw this.object.fail(
        'ERR_ELF_SIZE',
        `the programs of this file are too long, ${fn.name} included`,
        fn.section.offset,
        `${MAX_TOTAL} slots and records in all`,
      );
  }

  /** Moves CO-RE values, func_info and line_info of a function. */
  private describe({ fn, at }: Placed): void {
    const { btf, ext } = this.object;
    const slotOf = (record: { offset: number }): number =>
      at + Math.floor(record.offset / INSN_BYTES) - fn.start;
    const core = within(ext?.core.get(fn.section.name), fn);
    this.spend(core.length, fn);
    for (const record of core) applyCore(this.object, record, this.out.insns, slotOf(record));
    const info = recordAt(ext?.funcs.get(fn.section.name), fn.start * INSN_BYTES);
    const type = info && btf?.types[info.typeId];
    this.out.funcs.push({
      insn: at,
      name: type?.kind === 'func' ? type.name : fn.name,
      typeId: type?.kind === 'func' && info ? info.typeId : 0,
      linkage: fn.global ? 'global' : 'static',
    });
    const lines = within(ext?.lines.get(fn.section.name), fn);
    this.spend(lines.length, fn);
    for (const line of lines) {
      const { offset: _, ...rest } = line;
      this.out.lines.push({ insn: slotOf(line), ...rest });
    }
  }

  /** Patches one instruction; returns the function that it reaches when that was not yet placed. */
  private relocate(from: Placed, slot: number): Placed | undefined {
    const insn = this.out.insns[from.at + slot];
    const reloc = from.code.relocs.get(from.fn.start + slot);
    if (insn.op === OP_LDDW && from.fn.start + slot + 1 < from.fn.end) {
      if (reloc) return this.address(from, slot, insn, reloc);
      if (insn.src !== Pseudo.FUNC) return undefined;
      return this.target(from, slot, insn, from.fn.section.index, from.fn.start + slot + 1 + insn.imm);
    }
    if (insn.op === OP_CALL) {
      if (reloc) return this.call(from, slot, insn, reloc);
      if (insn.src !== CallKind.LOCAL) return undefined;
      return this.target(from, slot, insn, from.fn.section.index, from.fn.start + slot + 1 + insn.imm);
    }
    if (reloc)
      throw this.fail(
        'ERR_ELF_RELOC',
        `${from.fn.name}: relocation of opcode 0x${insn.op.toString(16)} against ${reloc.symbol.name}`,
        reloc,
        'an LDDW or a call',
      );
    return undefined;
  }

  /** LDDW of a map, a variable, a function or an extern. */
  private address(from: Placed, slot: number, insn: Insn, reloc: ElfReloc): Placed | undefined {
    if (reloc.type !== Reloc.R64_64)
      throw this.fail(
        'ERR_ELF_RELOC',
        `${from.fn.name}: LDDW with relocation type ${reloc.type}`,
        reloc,
        'R_BPF_64_64 (1)',
      );
    const { symbol } = reloc;
    const next = this.out.insns[from.at + slot + 1];
    const addend = reloc.addend ?? insn.imm;
    const offset = symbol.value + addend;
    if (symbol.section === SHN_UNDEF) {
      const found = this.maps.extern(symbol.name);
      if (found) this.variable(insn, next, found.key, found.spec, found.offset);
      // bpf_ksym_exists(): the address of a weak symbol is 0 when it is not there; nobody uses what it is otherwise.
      else if (symbol.bind === Stb.WEAK)
        [insn.src, insn.imm, next.imm] = [Pseudo.IMM64, kfuncByName(symbol.name) ? 1 : 0, 0];
      else {
        // As libbpf leaves it to the kernel, we leave it to the verifier to refuse: other programs of the file still load.
        const id = this.maps.kernelVariable(symbol.name);
        if (id === undefined) throw this.unresolved(from, reloc);
        [insn.src, insn.imm, next.imm] = [Pseudo.BTF_ID, id, 0];
      }
      return undefined;
    }
    const section = this.object.elf.sections[symbol.section];
    if (section && section.flags & Shf.EXECINSTR) {
      if (offset % INSN_BYTES !== 0)
        throw this.fail(
          'ERR_ELF_RELOC',
          `address inside an instruction of ${section.name}`,
          reloc,
          'a function',
        );
      insn.src = Pseudo.FUNC;
      next.imm = 0;
      return this.target(from, slot, insn, section.index, offset / INSN_BYTES, reloc);
    }
    const map =
      section && this.maps.definedAt(section, symbol.value, symbol.type === Stt.SECTION ? addend : 0);
    if (map) {
      [insn.src, insn.imm, next.imm] = [Pseudo.MAP_FD, map.key, 0];
      this.out.maps[map.key] = map.spec;
      return undefined;
    }
    const data = section && this.maps.data(section);
    if (!data)
      throw this.fail(
        'ERR_ELF_RELOC',
        `${from.fn.name}: address of ${symbol.name || 'a symbol'} in section ${section?.name ?? symbol.section}`,
        reloc,
        'a map, a variable or a function',
      );
    if (offset < 0 || offset > data.spec.valueSize)
      throw this.fail(
        'ERR_ELF_RELOC',
        `${from.fn.name}: address ${offset} of section ${data.spec.name}`,
        reloc,
        `at most ${data.spec.valueSize}`,
      );
    this.variable(insn, next, data.key, data.spec, offset);
    return undefined;
  }

  private variable(insn: Insn, next: Insn, key: number, spec: MapSpec, offset: number): void {
    [insn.src, insn.imm, next.imm] = [Pseudo.MAP_VALUE, key, offset];
    this.out.maps[key] = spec;
  }

  private call(from: Placed, slot: number, insn: Insn, reloc: ElfReloc): Placed | undefined {
    if (reloc.type !== Reloc.R64_32)
      throw this.fail(
        'ERR_ELF_RELOC',
        `${from.fn.name}: call with relocation type ${reloc.type}`,
        reloc,
        'R_BPF_64_32 (10)',
      );
    const { symbol } = reloc;
    if (symbol.section === SHN_UNDEF) {
      const id = this.maps.kfunc(symbol.name);
      if (id === undefined) throw this.unresolved(from, reloc);
      this.checkPrototype(from, reloc, id);
      insn.src = CallKind.KFUNC;
      insn.imm = id || UNLISTED_KFUNC + symbol.index;
      this.out.kfuncs[insn.imm] = symbol.name;
      return undefined;
    }
    insn.src = CallKind.LOCAL;
    // Global callee: imm is −1. Static one: the symbol is its section, imm counts instructions from there, less one.
    const start = symbol.value / INSN_BYTES + (reloc.addend ?? insn.imm) + 1;
    return this.target(from, slot, insn, symbol.section, start, reloc);
  }

  /** The file was compiled with the prototype that the engine has. What it does not have, the verifier refuses if it is called. */
  private checkPrototype(from: Placed, reloc: ElfReloc, id: number): void {
    const kfunc = kfuncByName(reloc.symbol.name);
    const { btf } = this.object;
    const problem = kfunc && btf && id ? prototypeMismatch(kfunc, btf, id) : undefined;
    if (problem)
      throw this.fail('ERR_ELF_KFUNC', `${from.fn.name} calls ${problem}`, reloc, `${kfunc!.prototype}`);
  }

  /** Points call or LDDW at a function; both count from the slot after their first. */
  private target(
    from: Placed,
    slot: number,
    insn: Insn,
    section: number,
    start: number,
    reloc?: ElfReloc,
  ): Placed | undefined {
    const fn = this.functions.startingAt(section, start);
    if (!fn)
      throw this.fail(
        'ERR_ELF_CALL',
        `${from.fn.name}: instruction ${slot} calls instruction ${start} of ${this.object.elf.sections[section]?.name ?? section}`,
        reloc ?? { at: from.fn.section.offset + (from.fn.start + slot) * INSN_BYTES },
        'the start of a function',
      );
    const known = this.placed.get(fn);
    const to = known ?? this.place(fn);
    insn.imm = to.at - (from.at + slot) - 1;
    return known ? undefined : to;
  }

  private unresolved(from: Placed, reloc: ElfReloc): Error {
    const { name } = reloc.symbol;
    const builtin = /^(memset|memcpy|memmove|memcmp|strlen|bcmp)$/.test(name);
    return this.fail(
      'ERR_ELF_EXTERN',
      `${from.fn.name} refers to ${name}, which this file does not define`,
      reloc,
      builtin
        ? `__builtin_${name} with a small constant size, or a function of your own`
        : 'a function, map or variable of this file (symbols of the kernel do not exist in user space)',
    );
  }

  private fail(code: string, message: string, place: { at: number }, expected: string): Error {
    return this.object.fail(code, message, place.at, expected);
  }
}

/** Index of the first record at or behind `offset`; records are in order of offset. */
function firstFrom(records: readonly { offset: number }[], offset: number): number {
  let low = 0;
  for (let high = records.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (records[middle].offset < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The record of one offset, the first of several. */
function recordAt<T extends { offset: number }>(
  records: readonly T[] | undefined,
  offset: number,
): T | undefined {
  const found = records?.[firstFrom(records, offset)];
  return found?.offset === offset ? found : undefined;
}

/** The records of one function, out of a section's. */
function within<T extends { offset: number }>(records: readonly T[] | undefined, fn: ElfFunction): T[] {
  if (!records) return [];
  return records.slice(firstFrom(records, fn.start * INSN_BYTES), firstFrom(records, fn.end * INSN_BYTES));
}
