/**
 * One 8-byte eBPF instruction slot (RFC 9669 §3) and its constants.
 * A program is an array of *slots*: a 16-byte LDDW takes two, the second with op 0, so that array
 * indices, jump offsets and the kernel's instruction numbers are the same thing.
 */
import { EtherloomError } from '../errors.js';

export interface Insn {
  /** Opcode byte. */
  op: number;
  /** Destination register, 0–10. */
  dst: number;
  /** Source register, or the pseudo kind of LDDW and CALL. */
  src: number;
  /** Signed 16-bit offset. */
  off: number;
  /** Signed 32-bit immediate. */
  imm: number;
}

/** Instruction classes: low three bits of the opcode. */
export const Class = { LD: 0, LDX: 1, ST: 2, STX: 3, ALU: 4, JMP: 5, JMP32: 6, ALU64: 7 } as const;
/** Access sizes: opcode & 0x18. */
export const Size = { W: 0x00, H: 0x08, B: 0x10, DW: 0x18 } as const;
/** Access modes: opcode & 0xe0. */
export const Mode = { IMM: 0x00, ABS: 0x20, IND: 0x40, MEM: 0x60, MEMSX: 0x80, ATOMIC: 0xc0 } as const;
/** ALU operations: opcode & 0xf0. */
export const Alu = {
  ADD: 0x00,
  SUB: 0x10,
  MUL: 0x20,
  DIV: 0x30,
  OR: 0x40,
  AND: 0x50,
  LSH: 0x60,
  RSH: 0x70,
  NEG: 0x80,
  MOD: 0x90,
  XOR: 0xa0,
  MOV: 0xb0,
  ARSH: 0xc0,
  END: 0xd0,
} as const;
/** Jump operations: opcode & 0xf0. */
export const Jmp = {
  JA: 0x00,
  JEQ: 0x10,
  JGT: 0x20,
  JGE: 0x30,
  JSET: 0x40,
  JNE: 0x50,
  JSGT: 0x60,
  JSGE: 0x70,
  CALL: 0x80,
  EXIT: 0x90,
  JLT: 0xa0,
  JLE: 0xb0,
  JSLT: 0xc0,
  JSLE: 0xd0,
  JCOND: 0xe0,
} as const;
/** Operand source bit of ALU and JMP: 0 immediate (K), 8 register (X). */
export const SRC_X = 0x08;
/** Atomic operations, in imm. FETCH is or-ed in; LOAD_ACQ and STORE_REL are Linux 6.15's. */
export const Atomic = {
  ADD: 0x00,
  OR: 0x40,
  AND: 0x50,
  XOR: 0xa0,
  FETCH: 0x01,
  XCHG: 0xe1,
  CMPXCHG: 0xf1,
  LOAD_ACQ: 0x100,
  STORE_REL: 0x110,
} as const;
/** `src` of LDDW (op 0x18). */
export const Pseudo = {
  IMM64: 0,
  MAP_FD: 1,
  MAP_VALUE: 2,
  BTF_ID: 3,
  FUNC: 4,
  MAP_IDX: 5,
  MAP_IDX_VALUE: 6,
} as const;
/** `src` of CALL (op 0x85). */
export const CallKind = { HELPER: 0, LOCAL: 1, KFUNC: 2 } as const;

export const OP_LDDW = 0x18;
export const OP_CALL = 0x85;
export const OP_CALLX = 0x8d;
export const OP_EXIT = 0x95;
export const OP_JA = 0x05;
export const OP_JA32 = 0x06;

/** Frame pointer. */
export const R10 = 10;

export const classOf = (op: number): number => op & 7;
export const sizeBytes = (op: number): number => [4, 2, 1, 8][(op >> 3) & 3];

/**
 * Decodes little-endian slots. No check beyond the length: that is the verifier's work.
 * @throws EtherloomError ERR_INSN_LENGTH when `bytes` is no multiple of 8.
 */
export function decodeInsns(bytes: Uint8Array, file?: string): Insn[] {
  if (bytes.length % 8 !== 0)
    throw new EtherloomError('ERR_INSN_LENGTH', `program of ${bytes.length} bytes`, {
      file,
      offset: bytes.length - (bytes.length % 8),
      expected: 'a multiple of 8 bytes',
    });
  const dv = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const insns: Insn[] = [];
  for (let at = 0; at < bytes.length; at += 8) {
    const regs = bytes[at + 1];
    insns.push({
      op: bytes[at],
      dst: regs & 15,
      src: regs >> 4,
      off: dv.getInt16(at + 2, true),
      imm: dv.getInt32(at + 4, true),
    });
  }
  return insns;
}

/** Inverse of decodeInsns: 8 bytes a slot. */
export function encodeInsns(insns: readonly Insn[]): Uint8Array {
  const bytes = new Uint8Array(insns.length * 8);
  const dv = new DataView(bytes.buffer);
  insns.forEach((insn, i) => {
    bytes[i * 8] = insn.op;
    bytes[i * 8 + 1] = (insn.src << 4) | insn.dst;
    dv.setInt16(i * 8 + 2, insn.off, true);
    dv.setInt32(i * 8 + 4, insn.imm, true);
  });
  return bytes;
}
