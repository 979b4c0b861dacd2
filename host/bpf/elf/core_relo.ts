/**
 * CO-RE relocations (enum bpf_core_relo_kind): resolved against the object's own BTF, so the target is what the
 * compiler saw. That is right for types the program brings along; there is no kernel whose structures could differ.
 */
import type { Btf, BtfType } from '../btf/btf.js';
import type { ExtCore } from '../btf/ext.js';
import { nameOf, resolve, resolveId, sizeOf, typeOf } from '../btf/types.js';
import { Class, classOf, type Insn, OP_LDDW, SRC_X } from '../insn.js';
import type { BpfObject } from './object.js';

const KINDS = [
  'field_byte_offset',
  'field_byte_size',
  'field_exists',
  'field_signed',
  'field_lshift_u64',
  'field_rshift_u64',
  'type_id_local',
  'type_id_target',
  'type_exists',
  'type_size',
  'enumval_exists',
  'enumval_value',
  'type_matches',
] as const;
type Kind = (typeof KINDS)[number];

interface Field {
  bitOffset: number;
  /** 0 for a plain member. */
  bitSize: number;
  /** Type of the field. */
  type: number;
}

const NO_KERNEL =
  'a type with members in the BTF of this file; structures of the kernel do not exist in user space';

/** Patches `insns[slot]` (and the next slot of an LDDW). @throws EtherloomError ERR_ELF_CORE */
export function applyCore(object: BpfObject, record: ExtCore, insns: Insn[], slot: number): void {
  const kind = KINDS[record.kind];
  const fail = (message: string, expected: string, cause?: unknown) => {
    const error = object.fail('ERR_ELF_CORE', message, record.at, expected);
    error.cause = cause;
    return error;
  };
  if (!kind || !object.btf)
    throw fail(`CO-RE relocation of kind ${record.kind}`, `0–${KINDS.length - 1} and BTF`);
  let value: bigint;
  try {
    value = resolveRecord(object.btf, record, kind);
  } catch (cause) {
    const type = object.btf.types[record.typeId];
    throw fail(
      `CO-RE relocation ${kind} of ${type?.kind ?? 'type'} ${(type && nameOf(type)) || record.typeId}, access "${record.access}", cannot be resolved: ${(cause as Error).message}`,
      NO_KERNEL,
      cause,
    );
  }
  patch(insns, slot, value, fail);
}

function patch(
  insns: Insn[],
  slot: number,
  value: bigint,
  fail: (message: string, expected: string) => Error,
): void {
  const insn = insns[slot];
  const low = Number(BigInt.asIntN(32, value));
  const cls = classOf(insn.op);
  if (insn.op === OP_LDDW) {
    const next = insns[slot + 1];
    if (insn.src !== 0 || !next)
      throw fail('CO-RE relocation of an LDDW that loads an address', 'a constant');
    insn.imm = low;
    next.imm = Number(BigInt.asIntN(32, value >> 32n));
  } else if ((cls === Class.ALU || cls === Class.ALU64) && (insn.op & SRC_X) === 0) insn.imm = low;
  else if (cls === Class.LDX || cls === Class.ST || cls === Class.STX) {
    if (value > 0x7fffn) throw fail(`CO-RE offset ${value} in a load or store`, 'at most 32767');
    insn.off = low;
  } else
    throw fail(
      `CO-RE relocation of opcode 0x${insn.op.toString(16)}`,
      'arithmetic with a constant, a load, a store or an LDDW',
    );
}

function resolveRecord(btf: Btf, record: ExtCore, kind: Kind): bigint {
  const type = typeOf(btf, record.typeId);
  switch (kind) {
    case 'type_id_local':
    case 'type_id_target':
      return BigInt(record.typeId);
    case 'type_exists':
    case 'type_matches':
      return 1n;
    case 'type_size':
      return BigInt(sizeOf(btf, record.typeId));
    case 'enumval_exists':
      return 1n;
    case 'enumval_value': {
      const target = resolve(btf, record.typeId);
      const value = target.kind === 'enum' ? target.values[Number(record.access)] : undefined;
      if (!value) throw new Error(`a ${type.kind} has no value number ${record.access}`);
      return value.value;
    }
    default:
      return fieldValue(btf, walk(btf, record.typeId, record.access), kind);
  }
}

/** BPF_CORE_SPEC_MAX_LEN of libbpf. */
const MAX_PATH = 64;

/** Follows an access path: the first index steps over whole objects, the others into members and elements. */
function walk(btf: Btf, root: number, access: string): Field {
  if (!/^\d{1,9}(:\d{1,9})*$/.test(access)) throw new Error('the access path is malformed');
  const [first, ...path] = access.split(':').map(Number);
  if (path.length >= MAX_PATH)
    throw new Error(`the access path has ${path.length + 1} steps, not ${MAX_PATH}`);
  let id = resolveId(btf, root);
  let bitOffset = first === 0 ? 0 : first * sizeOf(btf, id) * 8;
  let bitSize = 0;
  for (const index of path) {
    const type: BtfType = typeOf(btf, id);
    if (type.kind === 'struct' || type.kind === 'union') {
      const member = type.members[index];
      if (!member)
        throw new Error(`${type.kind} ${type.name} has ${type.members.length} members, not ${index + 1}`);
      bitOffset += member.bitOffset;
      bitSize = member.bitSize;
      id = resolveId(btf, member.type);
    } else if (type.kind === 'array') {
      // A flexible array (count 0) at the end may be indexed freely.
      if (type.count !== 0 && index >= type.count)
        throw new Error(`array of ${type.count} has no element ${index}`);
      bitOffset += index * sizeOf(btf, type.type) * 8;
      bitSize = 0;
      id = resolveId(btf, type.type);
    } else throw new Error(`a ${type.kind} has no members`);
  }
  return { bitOffset, bitSize, type: id };
}

function fieldValue(btf: Btf, field: Field, kind: Kind): bigint {
  if (kind === 'field_exists') return 1n;
  const type = resolve(btf, field.type);
  if (kind === 'field_signed') return (type.kind === 'int' || type.kind === 'enum') && type.signed ? 1n : 0n;
  let bytes = field.bitSize || kind !== 'field_byte_offset' ? sizeOf(btf, field.type) : 1;
  const bits = field.bitSize || bytes * 8;
  let at = Math.floor(field.bitOffset / 8);
  if (field.bitSize) {
    // The aligned container that holds the whole bit field, as bpf_core_calc_field_relo picks it.
    if (bytes === 0) throw new Error('a bit field of no size');
    at = Math.floor(at / bytes) * bytes;
    while (field.bitOffset + bits - at * 8 > bytes * 8) {
      if (bytes >= 8) throw new Error('a bit field over more than 8 bytes');
      bytes *= 2;
      at = Math.floor(field.bitOffset / 8 / bytes) * bytes;
    }
  }
  switch (kind) {
    case 'field_byte_offset':
      return BigInt(at);
    case 'field_byte_size':
      return BigInt(bytes);
    case 'field_lshift_u64':
      return BigInt(64 - (field.bitOffset + bits - at * 8));
    default:
      return BigInt(64 - bits);
  }
}
