/**
 * Runs a list of helper calls as one small program on the interpreter, the JIT and the real kernel, and tells
 * what each saw: results, a buffer, the packet, fields of the context.
 */
import { helperByName, helperId } from '../../host/bpf/helpers.js';
import type { Insn } from '../../host/bpf/insn.js';
import { interpret } from '../../host/bpf/interp/interpret.js';
import { compileProgram } from '../../host/bpf/jit/compile.js';
import { instantiateProgram, type ProgramExports } from '../../host/bpf/jit/instantiate.js';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { KernelMap } from '../../host/bpf/kernel/map.js';
import { KernelProgram } from '../../host/bpf/kernel/program.js';
import { type ArrayMap, createMap, mapBinding } from '../../host/bpf/maps/index.js';
import type { MapSpec, ProgramSpec, ProgramType } from '../../host/bpf/spec.js';
import { verify } from '../../host/bpf/verify/verify.js';
import { testPacket } from '../../host/engine/test_run.js';
import { SkBuffLayout, XdpContextLayout } from '../../host/layout/layout.gen.js';
import { Arena } from '../../host/mem/arena.js';
import { instantiateCore } from '../../host/mem/core.js';

import {
  Alu,
  alu,
  aluImm,
  call,
  exit,
  Jmp,
  jmpImm,
  lddw,
  ldx,
  mov,
  movImm,
  Size,
  spec,
  st,
  stx,
} from './insns.js';

/** `ctx`, a number, an address in the buffer (bytes of stack), or one in the constant text. */
export type Arg = 'ctx' | number | bigint | { buf: number } | { text: number };
export interface Step {
  helper: string;
  args?: readonly Arg[];
}

export interface HelperCase {
  type?: ProgramType;
  steps: readonly Step[];
  /** First contents of the buffer. */
  buf?: Uint8Array;
  /** Contents of a read-only map, for constant strings. */
  text?: string;
  packet?: Uint8Array;
}

export interface Seen {
  /** r0 of each call, signed. */
  results: bigint[];
  buf: Uint8Array;
  packet: Uint8Array;
  /** xdp: packet and metadata length; skb: len, protocol, vlan_present, vlan_tci, vlan_proto, mark, pkt_type. */
  ctx: number[];
}

/** Bytes of the buffer. */
const BUF = 192;
const RESULTS = 8;
const CTX_WORDS = 8;
const OUT_BYTES = RESULTS * 8 + BUF + CTX_WORDS * 4;
const BUF_AT = -256;
const OUT_MAP = 1;
const TEXT_MAP = 2;

export const arena = Arena.create({ lanes: 1, frames: 64, mapBytes: 4 << 20 });
export const core = instantiateCore(arena, 1);
const outSpec: MapSpec = {
  name: 'out',
  type: 'array',
  keySize: 4,
  valueSize: OUT_BYTES,
  maxEntries: 1,
  flags: 0,
};
let slots = 1000;

/** A frame of `n` bytes that counts up, behind an Ethernet header with the EtherType given. */
export function frame(n: number, etherType = 0x0800): Uint8Array {
  const bytes = Uint8Array.from({ length: n }, (_, i) => i);
  bytes[12] = etherType >> 8;
  bytes[13] = etherType & 0xff;
  return bytes;
}

const SKB_FIELDS = ['len', 'protocol', 'vlanPresent', 'vlanTci', 'vlanProto', 'mark', 'pktType'] as const;

/** r9 = address of the out record. Leaves the program when there is none. */
function outRecord(): Insn[] {
  return [
    st(Size.W, 10, -8, 0),
    ...lddw(1, BigInt(OUT_MAP), 1),
    mov(2, 10),
    aluImm(Alu.ADD, 2, -8),
    call(1),
    jmpImm(Jmp.JNE, 0, 0, 2),
    movImm(0, 0),
    exit(),
    mov(9, 0),
  ];
}

function argument(reg: number, arg: Arg): Insn[] {
  if (arg === 'ctx') return [mov(reg, 6)];
  if (typeof arg === 'object')
    return 'buf' in arg
      ? [mov(reg, 10), aluImm(Alu.ADD, reg, BUF_AT + arg.buf)]
      : (() => {
          const two = lddw(reg, BigInt(TEXT_MAP), 2);
          two[1].imm = arg.text;
          return two;
        })();
  return lddw(reg, BigInt(arg));
}

function contextFields(type: ProgramType): Insn[] {
  const at = (i: number): number => RESULTS * 8 + BUF + i * 4;
  if (type === 'xdp')
    return [
      ldx(Size.W, 1, 6, XdpContextLayout.data),
      ldx(Size.W, 2, 6, XdpContextLayout.dataEnd),
      ldx(Size.W, 3, 6, XdpContextLayout.dataMeta),
      alu(Alu.SUB, 2, 1),
      alu(Alu.SUB, 1, 3),
      stx(Size.W, 9, at(0), 2),
      stx(Size.W, 9, at(1), 1),
    ];
  return SKB_FIELDS.flatMap((f, i) => [ldx(Size.W, 1, 6, SkBuffLayout[f]), stx(Size.W, 9, at(i), 1)]);
}

/** The program of a case. */
export function helperProgram(c: HelperCase): ProgramSpec {
  const type = c.type ?? 'xdp';
  const insns: Insn[] = [mov(6, 1)];
  const buf = new Uint8Array(BUF);
  buf.set(c.buf ?? []);
  const words = new DataView(buf.buffer);
  for (let i = 0; i < BUF; i += 4) insns.push(st(Size.W, 10, BUF_AT + i, words.getInt32(i, true)));
  insns.push(...outRecord());
  c.steps.forEach((step, i) => {
    (step.args ?? []).forEach((arg, k) => {
      insns.push(...argument(k + 1, arg));
    });
    insns.push(call(helperId(step.helper)!), stx(Size.DW, 9, i * 8, 0));
  });
  for (let i = 0; i < BUF; i += 8)
    insns.push(ldx(Size.DW, 1, 10, BUF_AT + i), stx(Size.DW, 9, RESULTS * 8 + i, 1));
  insns.push(...contextFields(type), movImm(0, 1), exit());
  const maps: Record<number, MapSpec> = { [OUT_MAP]: outSpec };
  if (c.text !== undefined) {
    const contents = new TextEncoder().encode(`${c.text}\0`);
    maps[TEXT_MAP] = {
      name: 'text',
      type: 'array',
      keySize: 4,
      valueSize: contents.length,
      maxEntries: 1,
      flags: 128,
      contents,
      frozen: true,
    };
  }
  return spec(insns, type, { maps, name: c.steps[0].helper });
}

function seen(c: HelperCase, retval: number, out: Uint8Array, packet: Uint8Array): Seen {
  if (retval !== 1) throw new Error(`the program returned ${retval}`);
  const dv = new DataView(out.buffer, out.byteOffset, out.byteLength);
  const results = c.steps.map((s, i) => {
    if (helperByName.get(s.helper)?.ret === 'void') return 0n;
    return dv.getBigInt64(i * 8, true);
  });
  const ctx = Array.from({ length: CTX_WORDS }, (_, i) => dv.getUint32(RESULTS * 8 + BUF + i * 4, true));
  return { results, buf: out.slice(RESULTS * 8, RESULTS * 8 + BUF), packet: packet.slice(), ctx };
}

/** Runs a case on the interpreter and on the JIT. @throws when they differ in anything. */
export function runHere(c: HelperCase, prepare?: () => void): Seen {
  const program = helperProgram(c);
  const outcomes = (['interp', 'jit'] as const).map(engine => {
    const made = Object.fromEntries(
      Object.entries(program.maps).map(([key, s]) => [key, createMap(arena, core, s)]),
    );
    const binding = mapBinding(made);
    const packet = testPacket(arena, program.type, c.packet ?? frame(64));
    try {
      packet.reset();
      prepare?.();
      let r0: bigint;
      if (engine === 'interp') r0 = interpret(program, { arena, core, ctx: packet.ctx, maps: binding }).r0;
      else {
        const compiled = compileProgram(verify(program), binding);
        const instance = instantiateProgram(compiled, core, arena, slots);
        slots += compiled.slotCount;
        r0 = (instance.exports as unknown as ProgramExports).run(packet.ctx);
      }
      const out = (made[OUT_MAP] as ArrayMap).getBytes(0)!;
      return seen(c, Number(BigInt.asUintN(32, r0)), out, packet.read());
    } finally {
      packet.free();
      for (const map of Object.values(made)) map.destroy();
    }
  });
  if (show(outcomes[0]) !== show(outcomes[1]))
    throw new Error(`interpreter and JIT differ\n${show(outcomes[0])}\n${show(outcomes[1])}`);
  return outcomes[0];
}

/** Runs a case in the real kernel; a string says why its verifier refused. */
export function runInKernel(c: HelperCase): Seen | string {
  const program = helperProgram(c);
  const out = KernelMap.create(outSpec);
  try {
    const load = KernelProgram.load(program, { maps: new Map([[outSpec, out]]) });
    if (!load.accepted) return load.reason;
    try {
      const run = load.program.testRun({ data: c.packet ?? frame(64) });
      return seen(c, run.retval, out.lookup(new Uint8Array(4))!, run.dataOut);
    } finally {
      load.program.close();
    }
  } finally {
    out.close();
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** All that was seen, as text to compare. */
export const show = (s: Seen | string): string =>
  typeof s === 'string'
    ? s
    : `r0 ${s.results.join(' ')}\nbuf ${hex(s.buf)}\npacket ${hex(s.packet)}\nctx ${s.ctx.join(' ')}`;

/** Why a comparison with the kernel is not possible here. */
export function missingKernel(): string | undefined {
  const k = kernelAvailable();
  return k.ok ? undefined : k.reason;
}
