/**
 * Does the prototype that an object file was compiled with fit ours? Structures go by name, and by size where the file
 * has them whole; numbers by width, a result's by sign as well (libbpf: bpf_core_types_are_compat, which is laxer).
 */
import type { Btf, BtfType } from '../btf/btf.js';
import { declaration } from '../btf/print.js';
import { prototypeOf, resolve, sizeOf } from '../btf/types.js';
import type { Kfunc } from './kfunc.js';
import type { CInt, CPrototype, CType, Pointee } from './prototype.js';

/** One is void: memory of any type, or of none. */
const isAny = (to: Pointee, theirs: BtfType): boolean => to.kind === 'void' || theirs.kind === 'void';

function fitsInt(btf: Btf, ours: CInt, id: number, signed: boolean): boolean {
  const theirs = resolve(btf, id);
  if (theirs.kind !== 'int' && theirs.kind !== 'enum') return false;
  return (
    theirs.size * 8 === ours.bits && (!signed || theirs.kind === 'enum' || theirs.signed === ours.signed)
  );
}

function fitsPointee(btf: Btf, to: Pointee, id: number, bytes: number | undefined): string | undefined {
  const theirs = resolve(btf, id);
  if (isAny(to, theirs)) return undefined;
  if (to.kind === 'int') return fitsInt(btf, to, id, false) ? undefined : 'points to another type';
  if (to.kind !== 'struct' || (theirs.kind !== 'struct' && theirs.kind !== 'fwd') || theirs.name !== to.name)
    return 'points to another type';
  if (theirs.kind === 'struct' && bytes !== undefined && sizeOf(btf, id) !== bytes)
    return `points to a struct ${to.name} of ${sizeOf(btf, id)} bytes, the engine’s has ${bytes}`;
  return undefined;
}

function fits(
  btf: Btf,
  ours: CType,
  id: number,
  result: boolean,
  bytes: number | undefined,
): string | undefined {
  const theirs = resolve(btf, id);
  if (ours.kind === 'void') return theirs.kind === 'void' ? undefined : 'is no void';
  if (ours.kind === 'int')
    return fitsInt(btf, ours, id, result)
      ? undefined
      : `is no ${!result ? '' : ours.signed ? 'signed ' : 'unsigned '}number of ${ours.bits} bits`;
  if (theirs.kind !== 'ptr') return 'is no pointer';
  if (ours.kind === 'func') {
    const given = resolve(btf, theirs.type);
    return given.kind === 'func_proto' && given.params.length === ours.params
      ? undefined
      : 'is no such function';
  }
  return fitsPointee(btf, ours.to, theirs.type, bytes);
}

/**
 * Compares a prototype with FUNC_PROTO `protoId` of an object's BTF: undefined when it fits, else why not.
 * `bytesOf`: of the structure that argument i points to, undefined when its size does not matter.
 * @throws EtherloomError ERR_BTF_TYPE for types that do not exist
 */
export function signatureMismatch(
  btf: Btf,
  protoId: number,
  signature: CPrototype,
  ours: string,
  bytesOf: (i: number) => number | undefined,
): string | undefined {
  const theirs = resolve(btf, protoId);
  const { name, ret, params } = signature;
  const differ = (what: string): string =>
    `${name}: ${what}; this file declares "${declaration(btf, protoId, name).trim()}", the engine has "${ours}"`;
  if (theirs.kind !== 'func_proto') return differ('no function');
  if (params.length !== theirs.params.length)
    return differ(`${theirs.params.length} arguments instead of ${params.length}`);
  const wrong = fits(btf, ret, theirs.ret, true, undefined);
  if (wrong) return differ(`the result ${wrong}`);
  for (const [i, param] of params.entries()) {
    const problem = fits(btf, param.type, theirs.params[i].type, false, bytesOf(i));
    if (problem) return differ(`argument ${i + 1} ${problem}`);
  }
  return undefined;
}

/** The same for a kfunc and FUNC `funcId`. */
export function prototypeMismatch(kfunc: Kfunc, btf: Btf, funcId: number): string | undefined {
  const func = btf.types[funcId];
  if (func?.kind !== 'func' || !prototypeOf(btf, funcId)) return undefined;
  return signatureMismatch(btf, func.type, kfunc.signature, kfunc.prototype, i => {
    const arg = kfunc.args[i];
    return arg.kind === 'memory' ? arg.bytes : undefined;
  });
}
