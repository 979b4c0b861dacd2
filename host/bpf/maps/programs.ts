/**
 * The programs of one map: which entry points to which, and of what kind they all are. A program of another kind can
 * neither become an entry nor use the map: a tail call hands the caller's context on, and an entry is run with the
 * context of the redirect (kernel: bpf_prog_map_compatible, bpf_check_tail_call).
 */
import { type Residence, residenceOf } from '../residence.js';
import { type AttachType, attachType, type ProgramSpec, type ProgramType } from '../spec.js';
import { MapError } from './errors.js';
import type { BpfMap } from './map.js';

/** What all programs of a map have in common. */
interface Owner {
  type: ProgramType;
  frags: boolean;
  /** For prog_array only: entries of a devmap are of another attach type than the programs that redirect to it. */
  attach: AttachType | undefined;
}

const words = (o: Owner): string =>
  `type ${o.type}${o.frags ? ' with fragments' : ''}${o.attach ? `, to be attached at ${o.attach}` : ''}`;

export class MapPrograms {
  readonly #entries = new Map<number, Residence>();
  #owner: Owner | undefined;

  /** `entry`: the attach type that entries must have; without it any, but all the same. */
  constructor(
    readonly map: BpfMap,
    readonly entry?: AttachType,
  ) {}

  /**
   * The program behind what set() was given, if it may be an entry here.
   * @throws MapError EINVAL for what load() did not return, a program of another arena or kind, one that was unloaded
   */
  admit(given: unknown): Residence {
    const program = residenceOf(given);
    const refuse = (message: string, expected: string): MapError =>
      new MapError('EINVAL', `map "${this.map.name}" (${this.map.type}): ${message}`, { expected });
    if (!program) throw refuse('no loaded program', 'what load() returned; a table slot is none');
    if (program.arena !== this.map.arena || !program.loaded)
      throw refuse(`${program.name} is not loaded in this arena`, 'a program of the same arena');
    if (this.entry && program.attach !== this.entry)
      throw refuse(
        `${program.name} is of type ${program.type}, to be attached at ${program.attach ?? program.type}`,
        `a program of section xdp/${this.entry}`,
      );
    this.check(program.spec);
    return program;
  }

  /** @throws MapError EINVAL naming both kinds when a program cannot have to do with this map. */
  check(program: ProgramSpec): void {
    const kind = this.#kindOf(program);
    const owner = this.#owner;
    if (!owner || (kind.type === owner.type && kind.frags === owner.frags && kind.attach === owner.attach))
      return;
    throw new MapError(
      'EINVAL',
      `map "${this.map.name}" (${this.map.type}): ${program.name} is of ${words(kind)}`,
      { expected: `programs of ${words(owner)}` },
    );
  }

  /** The first program that is an entry, or is compiled to use the map, decides for good. */
  claim(program: ProgramSpec): void {
    this.#owner ??= this.#kindOf(program);
  }

  /** Entry `key` points to `program` from now on, or to none. */
  put(key: number, program: Residence | undefined): void {
    if (program) this.claim(program.spec);
    program?.hold(this.map, 1);
    this.#entries.get(key)?.hold(this.map, -1);
    if (program) this.#entries.set(key, program);
    else this.#entries.delete(key);
  }

  /** Keys of entries that point to one of these programs, and to which. */
  pointingTo(programs: ReadonlySet<Residence>): [key: number, program: Residence][] {
    return [...this.#entries].filter(([, program]) => programs.has(program));
  }

  /** Keys of entries that point to a program. */
  keys(): number[] {
    return [...this.#entries.keys()];
  }

  #kindOf(program: ProgramSpec): Owner {
    return {
      type: program.type,
      frags: program.flags?.frags ?? false,
      attach: this.entry ? undefined : attachType(program),
    };
  }
}
