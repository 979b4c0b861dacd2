/**
 * The memory a program may touch, as the checked interpreter sees it: a handful of named spans of the arena.
 * The interpreter asks before every access; what no region holds is an InterpFault.
 */
import { EtherloomError } from '../../errors.js';

export interface MemRegion {
  name: string;
  /** First byte (arena address). */
  lo: number;
  /** One past the last byte. */
  hi: number;
  write: boolean;
}

/** Which rule an instruction broke. */
export type FaultRule =
  | 'bounds' // no region holds the whole access
  | 'write' // the region is read-only
  | 'align' // atomic access to an address that is no multiple of its size
  | 'budget' // instruction budget spent
  | 'depth' // more than MAX_FRAMES frames
  | 'pc' // jump or fall-through to no instruction
  | 'opcode' // no such instruction
  | 'helper' // unknown helper, or an argument that is not what its prototype says
  | 'map'; // LDDW names no bound map

const hex = (n: number): string => (n < 0 ? `-0x${(-n).toString(16)}` : `0x${n.toString(16)}`);

/** A program broke a rule while the interpreter ran it. For a verified program that is a bug of the verifier. */
export class InterpFault extends EtherloomError {
  /** Instruction slot. */
  readonly insn: number;
  readonly rule: FaultRule;
  /** Memory faults: first byte of the access; as a number it may lie outside the arena. */
  readonly addr: number | undefined;
  /** Memory faults: bytes. */
  readonly size: number | undefined;
  /** Memory faults: the region that holds the address, or lies nearest to it. */
  readonly region: MemRegion | undefined;

  constructor(
    rule: FaultRule,
    insn: number,
    what: string,
    memory?: { addr: number; size: number; region: MemRegion | undefined },
  ) {
    super(`ERR_INTERP_${rule.toUpperCase()}`, `instruction ${insn}: ${what}`);
    this.name = 'InterpFault';
    this.insn = insn;
    this.rule = rule;
    this.addr = memory?.addr;
    this.size = memory?.size;
    this.region = memory?.region;
  }
}

export class Regions {
  readonly #fixed: MemRegion[] = [];
  /** Map values and records by address: the same value is looked up again and again. */
  readonly #byAddress = new Map<number, MemRegion>();
  #last: MemRegion | undefined;
  /** Called before a search, so that regions which helpers move (the packet) are where they are now. */
  refresh: () => void = () => {};

  /** Adds a region whose bounds the caller may change later. */
  add(region: MemRegion): MemRegion {
    this.#fixed.push(region);
    return region;
  }

  /** Adds the object at `lo`; the same address again replaces it. */
  addObject(name: string, lo: number, bytes: number, write: boolean): void {
    const known = this.#byAddress.get(lo);
    if (known && known.hi === lo + bytes && known.write === write) return;
    this.#last = undefined;
    this.#byAddress.set(lo, { name, lo, hi: lo + bytes, write });
  }

  /** Takes an object away. False when there is none at `lo`. */
  removeObject(lo: number): boolean {
    this.#last = undefined;
    return this.#byAddress.delete(lo);
  }

  /** Object added at exactly this address. */
  objectAt(lo: number): MemRegion | undefined {
    return this.#byAddress.get(lo);
  }

  /** Undefined when [addr, addr + size) may be accessed, else the rule it breaks and the region it is about. */
  check(
    addr: number,
    size: number,
    write: boolean,
  ): { rule: 'bounds' | 'write'; region: MemRegion | undefined } | undefined {
    const last = this.#last;
    if (last && addr >= last.lo && addr + size <= last.hi && (last.write || !write)) return undefined;
    this.refresh();
    let readOnly: MemRegion | undefined;
    for (const r of this.#fixed)
      if (addr >= r.lo && addr + size <= r.hi) {
        if (r.write || !write) return undefined;
        readOnly ??= r;
      }
    const exact = this.#byAddress.get(addr);
    if (exact && addr + size <= exact.hi && (exact.write || !write)) {
      this.#last = exact;
      return undefined;
    }
    for (const r of this.#byAddress.values())
      if (addr >= r.lo && addr + size <= r.hi) {
        if (r.write || !write) {
          this.#last = r;
          return undefined;
        }
        readOnly ??= r;
      }
    if (readOnly) return { rule: 'write', region: readOnly };
    return { rule: 'bounds', region: this.#nearest(addr) };
  }

  #nearest(addr: number): MemRegion | undefined {
    let best: MemRegion | undefined;
    let least = Infinity;
    for (const r of [...this.#fixed, ...this.#byAddress.values()]) {
      const gap = addr < r.lo ? r.lo - addr : addr >= r.hi ? addr - r.hi + 1 : 0;
      if (gap < least) {
        least = gap;
        best = r;
      }
    }
    return best;
  }

  /** A memory fault, in words. */
  static fault(
    insn: number,
    addr: number,
    size: number,
    write: boolean,
    broken: { rule: 'bounds' | 'write'; region: MemRegion | undefined },
  ): InterpFault {
    const { region } = broken;
    const near = region
      ? ` (${broken.rule === 'write' ? 'read-only' : 'nearest'} region: ${region.name} [${hex(region.lo)}, ${hex(region.hi)}))`
      : '';
    return new InterpFault(
      broken.rule,
      insn,
      `${write ? 'write' : 'read'} of ${size} bytes at ${hex(addr)}${near}`,
      { addr, size, region },
    );
  }
}
