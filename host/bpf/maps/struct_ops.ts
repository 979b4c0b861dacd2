/**
 * struct_ops: one structure of functions, whose members are programs. In the arena a member is the table slot of its
 * program, so that whoever is given the structure's address can call it (assembly/cc/user.ts). Who registers it decides
 * what it is for: engine/congestion.ts.
 */
import { type Placed, type ProgramRef, residenceOf } from '../residence.js';
import type { MapSpec } from '../spec.js';
import { type OpsType, opsTypes } from '../struct_ops.js';
import { BpfMap, type MapPlace } from './map.js';

export class StructOpsMap extends BpfMap {
  /** What kind of structure it is. */
  readonly ops: OpsType;
  readonly #placed = new Map<number, Placed>();

  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place);
    this.ops = opsTypes.find(t => t.bytes === spec.valueSize)!;
  }

  /** Address of the structure. */
  get valueAt(): number {
    return this.header.dataAt;
  }

  /** The text that names what it is, as the object gave it. */
  get text(): string {
    const { off, size } = this.ops.text;
    const bytes = this.arena.u8.slice(this.valueAt + off, this.valueAt + off + size);
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(bytes.subarray(0, end < 0 ? size : end));
  }

  /** The program of a member, by its place. */
  get(key: number): Placed | undefined {
    return this.#placed.get(key);
  }

  /**
   * Makes a program a member.
   * @throws MapError EINVAL for a program that was verified as another member, or as none
   */
  put(key: number, value: ProgramRef): this {
    this.assertWritable();
    const program = this.programs!.admit(value);
    const member = this.ops.members.find(m => m.index === key);
    const as = program.spec.structOps;
    if (!member || as?.name !== this.ops.name || as.member !== member.name)
      throw this.error(
        'EINVAL',
        `${program.name} was verified as ${as ? `${as.name}.${as.member}` : `a ${program.type} program`}`,
        `a program that is ${this.ops.name}.${member?.name ?? `… (${this.ops.members.map(m => m.name).join(', ')})`}`,
      );
    this.programs!.put(key, program);
    this.#placed.set(key, program.program!);
    this.arena.dv.setBigUint64(this.valueAt + member.off, BigInt(program.run), true);
    return this;
  }

  /** Programs that are members, as those who hold them for longer need them. */
  get residences() {
    return [...this.#placed.values()].map(p => residenceOf(p)!);
  }
}
