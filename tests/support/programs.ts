/**
 * Hand-made programs: WebAssembly modules with the imports and exports of host/bpf/jit/compiled.ts, written as text.
 * For tests and benchmarks of the engine, which must not depend on verifier and compiler.
 */
import wabtInit from 'wabt';
import type { CompiledProgram } from '../../host/bpf/jit/compiled.js';
import type { ProgramType } from '../../host/bpf/spec.js';
import { trustAsCompiled } from '../../host/bpf/stages.js';

const wabt = await wabtInit();

/**
 * A program whose body is `body`: WebAssembly text that leaves an i64, with the context's address in local 0 (i32).
 * `start` runs when it is instantiated. `helpers` are imported from "h": name → signature, such as `(param i32 i64) (result i64)`.
 */
export function handMade(
  body: string,
  options: {
    name?: string;
    type?: ProgramType;
    section?: string;
    start?: string;
    helpers?: Record<string, string>;
  } = {},
): CompiledProgram {
  const helpers = Object.entries(options.helpers ?? {});
  const text = `(module
    (import "env" "memory" (memory 1 65536 shared))
    (import "env" "table" (table 0 funcref))
    (import "env" "stack" (global $stack i32))
    (import "env" "lane" (global $lane i32))
    ${helpers.map(([n, sig]) => `(import "h" "${n}" (func $${n} ${sig}))`).join('\n')}
    (func $body (param i32) (result i64) ${body})
    ${options.start ? `(func $start ${options.start}) (start $start)` : ''}
    (export "run" (func $body))
    (export "tail" (func $body)))`;
  const parsed = wabt.parseWat('program.wat', text, { threads: true, mutable_globals: true });
  const bytes = new Uint8Array(parsed.toBinary({}).buffer);
  parsed.destroy();
  const spec = {
    name: options.name ?? 'hand-made',
    type: options.type ?? 'xdp',
    section: options.section,
    license: 'GPL',
    insns: [],
    maps: {},
  };
  return trustAsCompiled({
    spec,
    verified: undefined,
    mode: 'guarded',
    bytes,
    module: new WebAssembly.Module(bytes),
    objects: [],
    helpers: helpers.map(([n]) => n),
    callbacks: [],
    slotCount: 2,
    compileUs: 0,
  });
}

/** Always the same verdict. */
export const verdict = (v: number, name = `verdict ${v}`): CompiledProgram =>
  handMade(`i64.const ${v}`, { name });

/** An Ethernet/IPv4/UDP frame of `length` bytes for flow number `flow`; its number stands in the last four bytes. */
export function udpFrame(flow = 0, length = 64, number = 0): Uint8Array {
  const p = new Uint8Array(length);
  const dv = new DataView(p.buffer);
  p.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 99, 8, 0, 0x45, 0]);
  dv.setUint16(16, length - 14);
  p.set([64, 17], 22);
  dv.setUint32(26, 0x0a000001 + (flow >>> 8));
  dv.setUint32(30, 0x0a010001);
  dv.setUint16(34, 1024 + (flow & 0xff));
  dv.setUint16(36, 53);
  dv.setUint16(38, length - 34);
  if (length >= 46) dv.setUint32(length - 4, number);
  let sum = 0;
  for (let i = 14; i < 34; i += 2) sum += dv.getUint16(i);
  sum = (sum & 0xffff) + (sum >>> 16);
  dv.setUint16(24, ~(sum + (sum >>> 16)) & 0xffff);
  return p;
}

/** The number that `udpFrame` wrote. */
export const numberOf = (p: Uint8Array): number =>
  new DataView(p.buffer, p.byteOffset, p.byteLength).getUint32(p.length - 4);
