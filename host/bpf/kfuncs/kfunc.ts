/**
 * What one row of the kfunc table says, and what is read off its C prototype: kinds of arguments by type and suffix,
 * as the kernel reads them from BTF (Documentation/bpf/kfuncs.rst, check_kfunc_args), and the Wasm signature.
 */
import { EtherloomError } from '../../errors.js';
import type { HelperWasm } from '../helpers/helper.js';
import { programTypes } from '../program_types.js';
import type { MapTypeName, ProgramType } from '../spec.js';
import { type CParam, type CPrototype, type CType, parsePrototype, printPrototype } from './prototype.js';

/** What a kfunc takes and gives, as flags KF_* of the kernel. All of ours are KF_TRUSTED_ARGS. */
export type KfuncFlag =
  | 'acquire' // the result is a reference that must be given to a kfunc that releases it
  | 'release' // the one object among the arguments is given back
  | 'ret_null'; // the result may be NULL; without it, the export never gives 0

/** A row, as it is written. */
export interface KfuncRow {
  /**
   * As C declares it. The name is that of the core's export as well. Arguments: numbers; `struct xdp_md *` or
   * `struct __sk_buff *`, the context; a pointer to a number or to a structure of `structs`, memory of that size
   * (`const`: only read); `void *p` or any pointer before `p__sz`, memory of as many bytes (`p__szk`: constant); a
   * pointer to a structure of `objects`, one that a kfunc gave. Suffixes: `__k` a constant, `__map` a map, `__str` a
   * constant string, `__nullable` may be NULL, `__ign` not looked at.
   */
  prototype: string;
  flags?: readonly KfuncFlag[];
  /** Program types that may call it. */
  types: readonly ProgramType[];
  /** For GPL-compatible programs only, as all kfuncs of the kernel are. */
  gpl?: boolean;
  /** Moves packet data: all packet pointers become invalid, and none may be an argument. */
  changesPacket?: boolean;
  /** It may run programs (struct_ops), whose frames lie below the caller's. */
  runsPrograms?: boolean;
  /** Enters or leaves an RCU read section. */
  rcu?: 'enter' | 'leave';
  /** Map types that the `__map` argument may have. */
  mapTypes?: readonly MapTypeName[];
  /** May be called while a spin lock is held; all on trees and lists must. */
  locked?: boolean;
  /**
   * What becomes of the `struct bpf_rb_node *` or `bpf_list_node *` among the arguments: `given` to the tree or list, a
   * `member` of it, or a `key` that it is compared with.
   */
  node?: 'given' | 'member' | 'key';
  /** Makes an object of the type whose id is the first argument: `meta__ign` is given its ObjectType. */
  makes?: boolean;
  /** Core export, when it is not called as the kfunc is. */
  exportName?: string;
  /** One line for the header and the README's list. */
  doc: string;
}

/** Structures that the rows of one file name. */
export interface KfuncTypes {
  /** Structures of numbers: memory of that many bytes, which the program gives. */
  structs?: Readonly<Record<string, number>>;
  /** What only kfuncs give: how many of its bytes a program may read. */
  objects?: Readonly<Record<string, number>>;
}

/** A structure of the engine that programs hold, but do not make. */
export interface ObjectType {
  /** Place in `objectTypes`. */
  index: number;
  /** C name without `struct`. */
  name: string;
  /** Bytes from its start that a program may read. */
  bytes: number;
  /** Its members, when an access must keep to one of them, and which of them a program may write. Without: read only. */
  fields?: readonly ObjectField[];
}

export interface ObjectField {
  name: string;
  off: number;
  size: number;
  write: boolean;
}

export type KfuncArg = { name: string } & (
  | { kind: 'scalar' }
  | { kind: 'constant' }
  | { kind: 'ctx' }
  /** `bytes` of memory; undefined: as many as the size behind it says. */
  | { kind: 'memory'; bytes: number | undefined; write: boolean; nullable: boolean }
  | { kind: 'size'; constant: boolean }
  | { kind: 'object'; object: ObjectType; nullable: boolean }
  | { kind: 'map' }
  | { kind: 'string' }
  | { kind: 'ignored' }
  /** Address of the ObjectType that the verifier found. */
  | { kind: 'type' }
  /** An object to be given up, or to be referred to once more. */
  | { kind: 'owned'; counted: boolean }
  | { kind: 'head'; field: GraphField }
  | { kind: 'node'; field: GraphField; use: 'given' | 'member' | 'key' }
  | { kind: 'callback' }
);

/** Lists and trees: names of the structures of their heads and nodes. */
export type GraphField = 'bpf_list_head' | 'bpf_rb_root' | 'bpf_list_node' | 'bpf_rb_node';

export type KfuncResult =
  | { kind: 'void' }
  | { kind: 'scalar'; bits: 32 | 64; signed: boolean }
  | { kind: 'object'; object: ObjectType }
  /** An object that programs make: a new one, the argument's once more, or the node of one (`node`). */
  | { kind: 'owned'; node: boolean };

const HEADS: ReadonlySet<string> = new Set(['bpf_list_head', 'bpf_rb_root']);
const NODES: ReadonlySet<string> = new Set(['bpf_list_node', 'bpf_rb_node']);

export interface Kfunc extends Omit<KfuncRow, 'prototype' | 'flags' | 'exportName'> {
  /** Number in the instructions of a program that is being verified or is verified; files have numbers of their own. */
  id: number;
  name: string;
  /** The prototype as C; `signature` is the same, taken apart. */
  prototype: string;
  signature: CPrototype;
  args: readonly KfuncArg[];
  ret: KfuncResult;
  acquires: boolean;
  /** Argument number (0-based) whose reference the call releases. */
  releases: number | undefined;
  mayBeNull: boolean;
  wasm: HelperWasm;
}

/** Every structure that some row calls an object. */
export const objectTypes: ObjectType[] = [];

function objectType(name: string, bytes: number): ObjectType {
  let known = objectTypes.find(o => o.name === name);
  if (!known) objectTypes.push((known = { index: objectTypes.length, name, bytes }));
  if (known.bytes !== bytes)
    throw new EtherloomError(
      'ERR_KFUNC_ROW',
      `struct ${name} is readable by ${bytes} and by ${known.bytes} bytes`,
    );
  return known;
}

/** A structure that struct_ops programs are given, member by member. */
export function defineObject(name: string, bytes: number, fields: readonly ObjectField[]): ObjectType {
  const type = objectType(name, bytes);
  type.fields = fields;
  return type;
}

/** What stands behind `__` in an argument's name. */
const suffixes = (name: string): readonly string[] => name.split('__').slice(1);

const letter = (type: CType): 'p' | 'w' | 'd' =>
  type.kind === 'ptr' ? 'p' : type.kind === 'int' && type.bits === 64 ? 'd' : 'w';

class Maker {
  readonly proto: CPrototype;

  constructor(
    readonly row: KfuncRow,
    readonly known: KfuncTypes,
  ) {
    this.proto = parsePrototype(row.prototype);
  }

  fail(what: string): never {
    throw new EtherloomError('ERR_KFUNC_ROW', `kfunc ${this.proto.name}: ${what}`);
  }

  arg({ name, type }: CParam, i: number): KfuncArg {
    const tags = suffixes(name);
    const nullable = tags.includes('nullable');
    if (tags.includes('ign'))
      return { kind: this.row.makes && name.startsWith('meta') ? 'type' : 'ignored', name };
    if (type.kind === 'func') return { kind: 'callback', name };
    if (type.kind === 'int') {
      const sized = tags.includes('szk') || tags.includes('sz');
      if (sized && this.proto.params[i - 1]?.type.kind !== 'ptr') this.fail(`${name} follows no pointer`);
      if (sized) return { kind: 'size', name, constant: tags.includes('szk') };
      return { kind: tags.includes('k') ? 'constant' : 'scalar', name };
    }
    if (type.kind !== 'ptr') return this.fail(`${name} is void`);
    if (tags.includes('map')) return { kind: 'map', name };
    if (tags.includes('str')) return { kind: 'string', name };
    const graph = type.to.kind === 'struct' ? (type.to.name as GraphField) : undefined;
    if (graph && HEADS.has(graph)) return { kind: 'head', name, field: graph };
    if (graph && NODES.has(graph))
      return { kind: 'node', name, field: graph, use: this.row.node ?? 'member' };
    if (tags.includes('alloc')) return { kind: 'owned', name, counted: false };
    if (tags.includes('refcounted_kptr')) return { kind: 'owned', name, counted: true };
    const write = !type.const;
    const next = suffixes(this.proto.params[i + 1]?.name ?? '');
    if (next.includes('sz') || next.includes('szk'))
      return { kind: 'memory', name, bytes: undefined, write, nullable };
    const { to } = type;
    if (to.kind === 'int') return { kind: 'memory', name, bytes: to.bits / 8, write, nullable };
    if (to.kind === 'void') return this.fail(`${name} points to memory of unknown size`);
    if (to.name === 'xdp_md' || to.name === '__sk_buff') {
      const other = this.row.types.find(t => programTypes[t].context !== to.name);
      if (other) this.fail(`the context of ${other} programs is no struct ${to.name}`);
      return { kind: 'ctx', name };
    }
    const bytes = this.known.structs?.[to.name];
    if (bytes !== undefined) return { kind: 'memory', name, bytes, write, nullable };
    return { kind: 'object', name, object: this.object(to.name), nullable };
  }

  object(name: string): ObjectType {
    const bytes = this.known.objects?.[name];
    if (bytes === undefined) return this.fail(`struct ${name} is neither among its structs nor its objects`);
    return objectType(name, bytes);
  }

  result(): KfuncResult {
    const { ret } = this.proto;
    if (ret.kind === 'void') return { kind: 'void' };
    if (ret.kind === 'int') {
      if (ret.bits < 32) this.fail('a result of less than 32 bits');
      return { kind: 'scalar', bits: ret.bits as 32 | 64, signed: ret.signed };
    }
    if (ret.kind === 'func') return this.fail('a function as result');
    if (ret.to.kind === 'void' || (ret.to.kind === 'struct' && NODES.has(ret.to.name)))
      return { kind: 'owned', node: ret.to.kind === 'struct' };
    if (ret.to.kind !== 'struct') return this.fail('a pointer that is returned points to an object');
    return { kind: 'object', object: this.object(ret.to.name) };
  }

  make(): Omit<Kfunc, 'id'> {
    const { row, proto } = this;
    const flags = new Set(row.flags);
    const args = proto.params.map((p, i) => this.arg(p, i));
    const ret = this.result();
    const isObject = (a: KfuncArg): boolean => a.kind === 'object' || a.kind === 'owned';
    const objects = args.filter(isObject);
    const releases = flags.has('release') ? args.findIndex(isObject) : undefined;
    if (flags.has('release') && objects.length !== 1)
      this.fail('it releases one object, and takes only that');
    if ((flags.has('acquire') || flags.has('ret_null')) && ret.kind !== 'object' && ret.kind !== 'owned')
      this.fail('what it acquires, or may be NULL, is a pointer to an object');
    if (args.some(a => a.kind === 'map') !== (row.mapTypes !== undefined))
      this.fail('mapTypes goes with an argument called …__map');
    const { prototype: _, flags: __, exportName, ...rest } = row;
    return {
      ...rest,
      name: proto.name,
      prototype: printPrototype(proto),
      signature: proto,
      args,
      ret,
      acquires: flags.has('acquire'),
      releases,
      mayBeNull: flags.has('ret_null'),
      wasm: {
        name: exportName ?? proto.name,
        args: proto.params.map(p => letter(p.type)).join(''),
        result:
          ret.kind === 'void'
            ? 'v'
            : ret.kind === 'object' || ret.kind === 'owned'
              ? 'p'
              : ret.bits === 64
                ? 'd'
                : ret.signed
                  ? 'i'
                  : 'w',
      },
    };
  }
}

/**
 * Rows as table entries, which still lack their number.
 * @throws EtherloomError ERR_KFUNC_ROW for a row that says nothing sensible
 */
export const defineKfuncs = (known: KfuncTypes, rows: readonly KfuncRow[]): Omit<Kfunc, 'id'>[] =>
  rows.map(row => new Maker(row, known).make());
