/**
 * What programs of a user can be put in for: structures of functions that the engine calls, as the kernel's struct_ops
 * (tcp_congestion_ops and others). A program of type struct_ops is one member of such a structure; the map of type
 * struct_ops is the structure, loaded from the `.struct_ops` section of an object.
 *
 *   SEC(".struct_ops") struct el_cc_ops aimd = { .init = …, .event = …, .name = "aimd" };
 *        │ member: prototype, checked by BTF (elf/struct_ops.ts)         ▲ programs: arguments checked by the verifier
 *        ▼                                                               │
 *   StructOpsMap ── registerCongestion ──▶ ArenaHeader.ccOps ── el_cc_event ──▶ assembly/cc/user.ts
 */
import { CcEventLayout, CcLayout, CcOpsLayout } from '../layout/layout.gen.js';
import { defineObject, type ObjectField, type ObjectType } from './kfuncs/kfunc.js';
import { type CPrototype, parsePrototype, printPrototype } from './kfuncs/prototype.js';
import type { ProgramSpec } from './spec.js';

/** A function of the structure. */
export interface OpsMember {
  name: string;
  /** Place among the functions. */
  index: number;
  /** Byte of the structure where its pointer, or the table slot of its program, stands. */
  off: number;
  signature: CPrototype;
  /** As C declares it. */
  prototype: string;
  args: readonly { name: string; object: ObjectType }[];
  /** A structure without it can be loaded, not registered. */
  needed: boolean;
}

export interface OpsType {
  /** C name without `struct`. */
  name: string;
  bytes: number;
  members: readonly OpsMember[];
  /** Where the text is that names what is registered. */
  text: { name: string; off: number; size: number };
}

const snake = (name: string): string => name.replace(/[A-Z]/g, c => `_${c.toLowerCase()}`);

/** Members of a structure of the layout: each reaches to the next. */
function fieldsOf(layout: Readonly<Record<string, number>>, written: readonly string[]): ObjectField[] {
  const { size, ...offsets } = layout;
  const starts = Object.entries(offsets).sort((a, b) => a[1] - b[1]);
  return starts.map(([name, off], i) => ({
    name: snake(name),
    off,
    size: (starts[i + 1]?.[1] ?? size) - off,
    write: written.includes(name),
  }));
}

/** What congestion control may decide; algorithm and mss are the transport's. */
const CC_WRITTEN = ['cwnd', 'ssthresh', 'rate', 'flags', 'undoCwnd', 'undoSsthresh', 'undoPriv', 'priv'];

const objects: Readonly<Record<string, ObjectType>> = {
  el_cc: defineObject('el_cc', CcLayout.size, fieldsOf(CcLayout, CC_WRITTEN)),
  el_cc_event: defineObject('el_cc_event', CcEventLayout.size, fieldsOf(CcEventLayout, [])),
};

function member(index: number, off: number, text: string, needed: boolean): OpsMember {
  const signature = parsePrototype(text);
  const args = signature.params.map(({ name, type }) => {
    const object = type.kind === 'ptr' && type.to.kind === 'struct' ? objects[type.to.name] : undefined;
    if (!object)
      throw new TypeError(`${signature.name}: ${name} points to no structure that programs are given`);
    return { name, object };
  });
  return { name: signature.name, index, off, signature, prototype: printPrototype(signature), args, needed };
}

/** Every structure that can be put in for. */
export const opsTypes: readonly OpsType[] = [
  {
    name: 'el_cc_ops',
    bytes: CcOpsLayout.size,
    members: [
      member(0, CcOpsLayout.init, 'int init(struct el_cc *cc)', false),
      member(1, CcOpsLayout.event, 'int event(struct el_cc *cc, const struct el_cc_event *event)', true),
    ],
    text: { name: 'name', off: CcOpsLayout.name, size: 16 },
  },
];

export const opsType = (name: string): OpsType | undefined => opsTypes.find(t => t.name === name);

/** What a struct_ops program is a member of; undefined for programs of other types, and for one that nothing names. */
export function opsMember({
  type,
  structOps,
}: Pick<ProgramSpec, 'type' | 'structOps'>): OpsMember | undefined {
  if (type !== 'struct_ops' || !structOps) return undefined;
  return opsType(structOps.name)?.members.find(m => m.name === structOps.member);
}

/** Why a struct_ops program is a member of nothing. */
export function noMember({ structOps }: Pick<ProgramSpec, 'structOps'>): string {
  const all = opsTypes.flatMap(t => t.members.map(m => `${t.name}.${m.name}`)).join(', ');
  return structOps
    ? `there is no ${structOps.name}.${structOps.member}; a struct_ops program is one of ${all}`
    : `no structure in .struct_ops names it; a struct_ops program is one of ${all}`;
}
