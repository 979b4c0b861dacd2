/**
 * The assembler: text in the kernel's verifier-log notation, clang's `.s` or llvm-objdump's listing → slots.
 * Lines stand for themselves; `label:` names a slot, a called or `.type`d label is a function.
 * Directives of our own: `.map NAME TYPE key=4 value=8 max=16 [flags= extra= inner= contents=HEX frozen]`,
 * `.program TYPE [NAME]`, `.license TEXT`, `.8byte N` (a raw slot). Directives of GNU as that place data are skipped.
 */
import { helperByName } from '../helpers.js';
import { CallKind, decodeInsns, type Insn, OP_CALL, OP_LDDW, Pseudo } from '../insn.js';
import { kfuncByName } from '../kfuncs.js';
import type { FuncInfo, LineInfo, MapSpec } from '../spec.js';
import type { Reference } from './cursor.js';
import { DATA, DIRECTIVE, IGNORED, parseMap, rawSlot } from './directives.js';
import { StatementParser } from './statement.js';
import { type LinePlace, stripComment, syntaxError, tokenize } from './tokens.js';

export interface AssembleOptions {
  /** Name of the text in errors. */
  file?: string;
  /** Keys of maps by name; maps named nowhere else get the next free number from 1. */
  maps?: Readonly<Record<string, number>>;
}

export interface Assembly {
  insns: Insn[];
  /** Slot of every label in code. */
  labels: Map<string, number>;
  /** First slot of each function, in order; the entry is at 0. */
  funcs: FuncInfo[];
  /** Key that LDDWs of the map have in imm. */
  maps: Map<string, number>;
  /** From `.map` directives. */
  definitions: MapSpec[];
  kfuncs: Record<number, string>;
  /** Runs of slots by code section. */
  sections: { name: string; start: number; end: number }[];
  /** Each instruction's own line of the text. */
  lines: LineInfo[];
  /** From `.program` and `.license`. */
  program?: { type: string; name: string | undefined };
  license?: string;
}

/** Where a name is used: resolved when every label is known. */
interface Fixup {
  slot: number;
  ref: Reference;
  place: LinePlace;
  /** Relocation of a listing: the number already in imm counts from the symbol. */
  addend?: number;
}

/** What stands before the instruction of a listing. */
interface Columns {
  /** Index of the instruction's first character. */
  from: number;
  /** Opcode in parentheses. */
  hint: number | undefined;
  /** The bytes column of llvm-objdump. */
  bytes: Uint8Array | undefined;
}

/** The bytes column of llvm-objdump. */
const BYTES = /^\s*([0-9a-f]{2} ){7}[0-9a-f]{2}( ([0-9a-f]{2} ){7}[0-9a-f]{2})?(?=\s)/;

/** @throws EtherloomError ERR_ASM_SYNTAX, ERR_ASM_LABEL, ERR_ASM_NAME, ERR_ASM_RANGE, with line, column and what was expected */
export function assemble(text: string, options: AssembleOptions = {}): Assembly {
  return new Assembler(text, options).run();
}

class Assembler {
  private readonly out: Assembly = {
    insns: [],
    labels: new Map(),
    funcs: [],
    maps: new Map(),
    definitions: [],
    kfuncs: {},
    sections: [],
    lines: [],
  };
  private readonly file: string;
  private readonly fixups: Fixup[] = [];
  private readonly globals = new Set<string>();
  private readonly functions = new Set<string>();
  private readonly defined = new Map<string, MapSpec>();
  private readonly kfuncIds = new Map<string, number>();
  private readonly takenKeys = new Set<number>();
  private nextKey = 1;
  private inCode = true;
  private section = { name: '.text', start: 0, end: 0 };
  /** The joined ones, by name. */
  private readonly sections = new Map<string, Assembly['sections'][number]>();

  constructor(
    private readonly text: string,
    options: AssembleOptions,
  ) {
    this.file = options.file ?? 'assembly';
    for (const [name, key] of Object.entries(options.maps ?? {})) {
      this.out.maps.set(name, key);
      this.takenKeys.add(key);
    }
  }

  run(): Assembly {
    let offset = 0;
    this.text.split('\n').forEach((raw, i) => {
      this.line(raw, { file: this.file, line: i + 1, offset });
      offset += raw.length + 1;
    });
    this.closeSection();
    this.joinSections();
    for (const section of this.out.sections) this.sections.set(section.name, section);
    for (const fixup of this.fixups) this.resolve(fixup);
    this.findFunctions();
    return this.out;
  }

  // ── lines ─────────────────────────────────────────────────────────────────

  private line(raw: string, place: LinePlace): void {
    if (this.listing(raw, place)) return;
    const code = stripComment(raw);
    const { from, hint, bytes } = this.columns(code, place);
    if (!this.inCode) {
      // Data of other sections: only a change of section counts.
      const change = /^\s*\.(section|text)\b/.exec(code);
      if (change) this.directive(code, change[0].length - change[1].length, place);
      return;
    }
    const directive = DIRECTIVE.exec(code);
    if (directive) {
      this.directive(code, directive[1].length + 1, place);
      return;
    }
    if (bytes && code.slice(from).trim() === '<unknown>') {
      this.emit(decodeInsns(bytes), place, from + 1, '<unknown>');
      return;
    }
    const tokens = tokenize(code, place, from);
    let at = 0;
    while ((tokens[at].kind === 'name' || tokens[at].kind === 'string') && tokens[at + 1]?.text === ':') {
      this.label(tokens[at].text, place, tokens[at].column);
      at += 2;
    }
    if (tokens[at].kind === 'end') return;
    if (tokens[at].kind === 'name' && tokens[at].text.startsWith('.')) {
      this.directive(code, tokens[at].column, place);
      return;
    }
    const { insns, ref } = new StatementParser(tokens.slice(at), place, hint).parse();
    const slot = this.out.insns.length;
    if (ref) this.fixups.push({ slot, ref, place });
    // llvm-objdump writes `call 0x2` for helpers and subprograms alike; the bytes beside it know.
    else if (insns[0].op === OP_CALL && bytes) insns[0].src = bytes[1] >> 4;
    this.emit(insns, place, tokens[at].column, code.slice(tokens[at].column - 1).trim());
  }

  /** Appends slots, with the line that they come from. */
  private emit(insns: readonly Insn[], place: LinePlace, column: number, text: string): void {
    this.out.lines.push({ insn: this.out.insns.length, file: this.file, line: place.line, column, text });
    this.out.insns.push(...insns);
  }

  /** Headings and relocations of an llvm-objdump listing. */
  private listing(raw: string, place: LinePlace): boolean {
    const heading = /^Disassembly of section (.+):$/.exec(raw);
    if (heading) this.openSection(heading[1], true);
    const symbol = /^[0-9a-f]{16} <(.+)>:$/.exec(raw);
    if (symbol) {
      this.label(symbol[1], place, 19);
      if (!/^\.?LBB/.test(symbol[1])) this.functions.add(symbol[1]);
    }
    const reloc = /^\s+[0-9a-f]{16}:\s+(R_BPF_64_64|R_BPF_64_32|R_BPF_\w+|CO-RE)\s+(\S+)/.exec(raw);
    if (reloc && this.out.insns.length) this.relocation(reloc[1], reloc[2], place, raw.indexOf(reloc[2]) + 1);
    return Boolean(heading || symbol || reloc || /:\s+file format elf64-bpf/.test(raw));
  }

  private relocation(type: string, name: string, place: LinePlace, column: number): void {
    const last = this.out.lines[this.out.lines.length - 1].insn;
    const { imm, op } = this.out.insns[last];
    if (type === 'R_BPF_64_64' && op === OP_LDDW)
      this.fixups.push({ slot: last, ref: { kind: 'symbol', name, column }, place });
    if (type === 'R_BPF_64_32' && op === OP_CALL)
      this.fixups.push({ slot: last, ref: { kind: 'call', name, column }, place, addend: imm });
  }

  /** Columns before the instruction: `12:`, its bytes, `(bf)`. */
  private columns(code: string, place: LinePlace): Columns {
    const number = /^\s*(\d+):\s?/.exec(code);
    let from = number ? number[0].length : 0;
    if (number && this.inCode) {
      const slot = this.out.insns.length - this.section.start;
      if (Number(number[1]) !== slot)
        throw syntaxError(
          place,
          number[0].search(/\d/) + 1,
          `instruction ${number[1]} where number ${slot} comes`,
          `${slot}:, no number, or a whole listing`,
        );
    }
    const column = number ? BYTES.exec(code.slice(from))?.[0] : undefined;
    if (column) from += column.length;
    const hint = /^\s*\(([0-9a-f]{2})\)/.exec(code.slice(from));
    if (hint) from += hint[0].length;
    const bytes = column ? Uint8Array.from(Buffer.from(column.replaceAll(/\s/g, ''), 'hex')) : undefined;
    return { from, hint: hint ? Number.parseInt(hint[1], 16) : undefined, bytes };
  }

  private label(name: string, place: LinePlace, column: number): void {
    if (this.out.labels.has(name))
      throw syntaxError(place, column, `label ${name} stands twice`, 'names that differ', 'ERR_ASM_LABEL');
    this.out.labels.set(name, this.out.insns.length);
  }

  // ── directives ────────────────────────────────────────────────────────────

  /** @param column 1-based, of the directive's dot */
  private directive(code: string, column: number, place: LinePlace): void {
    const name = /^[\w.]+/.exec(code.slice(column - 1))![0];
    const rest = code.slice(column - 1 + name.length);
    const [symbol] = rest.trim().split(/[\s,]+/);
    if (name === '.text') this.openSection('.text', true);
    else if (name === '.section') {
      const [section, flags] = rest.split(',').map(part => part.trim().replace(/^"(.*)"$/, '$1'));
      this.openSection(
        section,
        flags === undefined ? !/^(\.|license|version|maps)/.test(section) : flags.includes('x'),
      );
    } else if (DATA.test(name)) this.openSection(name, false);
    else if (name === '.8byte' || name === '.quad')
      this.emit(rawSlot(rest, place, column), place, column, `${name} ${rest.trim()}`);
    else if (name === '.map') this.define(parseMap(rest, this.defined, place, column));
    else if (name === '.program') {
      const [type, program] = rest.trim().split(/\s+/);
      this.out.program = { type, name: program };
    } else if (name === '.license') this.out.license = rest.trim();
    else if (!IGNORED.test(name))
      throw syntaxError(
        place,
        column,
        `directive ${name}`,
        'one of .section, .text, .8byte, .map, .program, .license',
      );
    if (name === '.globl' || name === '.global') this.globals.add(symbol);
    if (name === '.type' && /@function/.test(rest)) this.functions.add(symbol);
  }

  private define(spec: MapSpec): void {
    this.out.definitions.push(spec);
    this.defined.set(spec.name, spec);
    this.mapKey(spec.name);
  }

  private openSection(name: string, code: boolean): void {
    this.closeSection();
    this.inCode = code;
    this.section = { name, start: this.out.insns.length, end: 0 };
  }

  private closeSection(): void {
    const end = this.out.insns.length;
    if (this.inCode && end > this.section.start) this.out.sections.push({ ...this.section, end });
  }

  /** Pieces of one section become one run, in the order in which sections first appear. */
  private joinSections(): void {
    const { sections, insns, lines, labels } = this.out;
    const order = [...new Set(sections.map(s => s.name))];
    if (order.length === sections.length) return;
    const moved = new Map<number, number>();
    const joined: Assembly['sections'] = [];
    let at = 0;
    const pieces = new Map<string, Assembly['sections']>(order.map(name => [name, []]));
    for (const piece of sections) pieces.get(piece.name)!.push(piece);
    for (const [name, runs] of pieces) {
      const start = at;
      for (const run of runs) for (let slot = run.start; slot < run.end; slot++) moved.set(slot, at++);
      joined.push({ name, start, end: at });
    }
    const place = (slot: number): number => moved.get(slot) ?? slot;
    const old = [...insns];
    for (const [slot, insn] of old.entries()) insns[place(slot)] = insn;
    for (const line of lines) line.insn = place(line.insn);
    lines.sort((a, b) => a.insn - b.insn);
    for (const [name, slot] of labels) labels.set(name, place(slot));
    for (const fixup of this.fixups) fixup.slot = place(fixup.slot);
    this.out.sections = joined;
  }

  // ── names ─────────────────────────────────────────────────────────────────

  private mapKey(name: string): number {
    let key = this.out.maps.get(name);
    if (key === undefined) {
      while (this.takenKeys.has(this.nextKey)) this.nextKey++;
      key = this.nextKey++;
      this.out.maps.set(name, key);
    }
    return key;
  }

  private resolve(fixup: Fixup): void {
    const { slot, ref, place } = fixup;
    const insn = this.out.insns[slot];
    const label = this.out.labels.get(ref.name);
    const distance = label === undefined ? 0 : label - slot - 1;
    switch (ref.kind) {
      case 'map':
      case 'map_value':
        insn.src = ref.kind === 'map' ? Pseudo.MAP_FD : Pseudo.MAP_VALUE;
        insn.imm = this.mapKey(ref.name);
        return;
      case 'symbol':
        insn.src = label === undefined ? Pseudo.MAP_FD : Pseudo.FUNC;
        insn.imm = label === undefined ? this.mapKey(ref.name) : distance;
        if (label !== undefined) this.functions.add(ref.name);
        return;
      case 'kfunc':
        this.kfunc(insn, ref, place);
        return;
      case 'call':
        this.call(fixup, insn, label, distance);
        return;
    }
    if (label === undefined)
      throw syntaxError(
        place,
        ref.column,
        `label ${ref.name} is nowhere`,
        'a label of this text',
        'ERR_ASM_LABEL',
      );
    if (ref.kind === 'func') {
      insn.imm = distance;
      this.functions.add(ref.name);
    } else if (ref.kind === 'jump32') insn.imm = distance;
    else if (distance < -32768 || distance > 32767)
      throw syntaxError(
        place,
        ref.column,
        `${ref.name} is ${distance} instructions away`,
        'at most 32767; gotol reaches further',
        'ERR_ASM_RANGE',
      );
    else insn.off = distance;
  }

  /** A label of this text, else a helper or a kfunc of ours by name. */
  private call(
    { ref, place, slot, addend }: Fixup,
    insn: Insn,
    label: number | undefined,
    distance: number,
  ): void {
    const section = addend === undefined ? undefined : this.sections.get(ref.name);
    if (section && addend !== undefined) {
      [insn.src, insn.imm] = [CallKind.LOCAL, section.start + addend - slot];
      return;
    }
    if (label !== undefined && ref.number === undefined) {
      [insn.src, insn.imm] = [CallKind.LOCAL, distance];
      this.functions.add(ref.name);
      return;
    }
    const helper = helperByName.get(ref.name.replace(/^bpf_/, ''));
    if (helper && ref.number !== undefined && helper.id !== ref.number)
      throw syntaxError(
        place,
        ref.column,
        `${ref.name}#${ref.number}`,
        `${ref.name}#${helper.id}`,
        'ERR_ASM_NAME',
      );
    if (!helper && ref.number === undefined && kfuncByName(ref.name)) {
      insn.src = CallKind.KFUNC;
      this.kfunc(insn, ref, place);
      return;
    }
    const id = ref.number ?? helper?.id;
    if (id === undefined)
      throw syntaxError(
        place,
        ref.column,
        `${ref.name} is no helper, no kfunc and no label`,
        'bpf_NAME, NAME#NUMBER, a number, a kfunc of this engine, or a label of this text',
        'ERR_ASM_NAME',
      );
    [insn.src, insn.imm] = [CallKind.HELPER, id];
  }

  /** By name, with a number of its own where none is given. */
  private kfunc(insn: Insn, ref: Reference, place: LinePlace): void {
    const { kfuncs } = this.out;
    let id = ref.number ?? this.kfuncIds.get(ref.name);
    if (id === undefined) for (id = this.kfuncIds.size + 1; Object.hasOwn(kfuncs, id); ) id++;
    insn.imm = id;
    if (!ref.name) return;
    if (Object.hasOwn(kfuncs, id) && kfuncs[id] !== ref.name)
      throw syntaxError(
        place,
        ref.column,
        `${ref.name}#${id}`,
        `${kfuncs[id]}#${id}, as before`,
        'ERR_ASM_NAME',
      );
    this.kfuncIds.set(ref.name, id);
    kfuncs[id] = ref.name;
  }

  private findFunctions(): void {
    const starts = new Map<number, string>();
    for (const [name, slot] of this.out.labels)
      if (slot < this.out.insns.length && (this.functions.has(name) || this.globals.has(name)))
        starts.set(slot, name);
    if (!starts.has(0)) {
      const first = [...this.out.labels].find(([name, slot]) => slot === 0 && !/^\.?L/.test(name));
      starts.set(0, first?.[0] ?? 'main');
    }
    // Calls by distance have no label.
    this.out.insns.forEach((insn, slot) => {
      const local = insn.op === OP_CALL && insn.src === CallKind.LOCAL;
      const callback = insn.op === OP_LDDW && insn.src === Pseudo.FUNC;
      const target = slot + insn.imm + 1;
      if ((local || callback) && target > 0 && target < this.out.insns.length && !starts.has(target))
        starts.set(target, `func_${target}`);
    });
    this.out.funcs = [...starts]
      .sort((a, b) => a[0] - b[0])
      .map(([insn, name]) => ({
        insn,
        name,
        typeId: 0,
        linkage: insn === 0 || this.globals.has(name) ? 'global' : 'static',
      }));
  }
}
