/**
 * Types of a global function's arguments: the contract between its callers and its own verification
 * (kernel: btf_prepare_func_args).
 */
import type { Btf, BtfType } from '../btf/btf.js';
import { prototypeOf, resolve, sizeOf } from '../btf/types.js';
import { programTypes } from '../program_types.js';
import type { Subprog } from './cfg.js';
import type { Walk } from './walk.js';

export type GlobalArg =
  | { kind: 'scalar' }
  | { kind: 'ctx' }
  | { kind: 'memory'; size: number; nullable: boolean };

/** `__arg_ctx` and the like: decl tags `arg:…` of every function, found once for a whole file. */
const tags = new WeakMap<Btf, Map<number, { index: number; tag: string }[]>>();

/** Those on parameter `index`. */
function tagsOf(btf: Btf, funcId: number, index: number): string[] {
  let byFunction = tags.get(btf);
  if (!byFunction) {
    byFunction = new Map();
    for (const t of btf.types) {
      if (t.kind !== 'decl_tag' || !t.name.startsWith('arg:')) continue;
      const known = byFunction.get(t.type) ?? [];
      byFunction.set(t.type, known);
      known.push({ index: t.component, tag: t.name.slice(4) });
    }
    tags.set(btf, byFunction);
  }
  return (byFunction.get(funcId) ?? []).filter(t => t.index === index).map(t => t.tag);
}

const isNumber = (t: BtfType): boolean => t.kind === 'int' || t.kind === 'enum';

export function globalPrototype(v: Walk, sub: Subprog): readonly GlobalArg[] {
  const known = cache.get(sub);
  if (known) return known;
  const btf = v.spec.btf!;
  const funcId = sub.info!.typeId;
  const proto = prototypeOf(btf, funcId);
  if (!proto) return v.fail('global-function', `${sub.name} has no prototype in BTF`, sub.start);
  const refuse = (what: string): never => v.fail('global-function', `${sub.name}: ${what}`, sub.start);
  if (proto.params.length > 5) refuse(`${proto.params.length} arguments; 5 is the most`);
  if (!isNumber(resolve(btf, proto.ret))) refuse('a global function returns a number');
  const args = proto.params.map((param, i): GlobalArg => {
    const given = tagsOf(btf, funcId, i);
    const type = resolve(btf, param.type);
    if (isNumber(type))
      return given.length ? refuse(`tag ${given[0]} on argument ${i + 1}, a number`) : { kind: 'scalar' };
    if (type.kind !== 'ptr') return refuse(`argument ${i + 1} is a ${type.kind}`);
    const to = type.type === 0 ? undefined : resolve(btf, type.type);
    if (given.includes('ctx')) return { kind: 'ctx' };
    if (
      to &&
      (to.kind === 'struct' || to.kind === 'union' || to.kind === 'fwd') &&
      to.name === programTypes[v.type].context
    )
      return { kind: 'ctx' };
    const unknown = given.find(t => t !== 'nonnull' && t !== 'nullable');
    if (unknown) return refuse(`tag ${unknown} on argument ${i + 1} is not supported`);
    if (!to) return refuse(`argument ${i + 1} points to memory of unknown size`);
    let size = 0;
    try {
      size = sizeOf(btf, type.type);
    } catch {
      return refuse(`argument ${i + 1} points to a type without size`);
    }
    return { kind: 'memory', size, nullable: !given.includes('nonnull') };
  });
  cache.set(sub, args);
  return args;
}

const cache = new WeakMap<Subprog, readonly GlobalArg[]>();
