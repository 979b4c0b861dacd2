/**
 * The core with the loops of assembly/bench/ beside it: what tests count and benchmarks time is inside Wasm, where calls from
 * JavaScript do not show. The shipped core has none of it.
 */
import { readFileSync } from 'node:fs';
import { EtherloomError } from '../../host/errors.js';
import type { Arena } from '../../host/mem/arena.js';
import { type CoreExports, instantiateCore } from '../../host/mem/core.js';

export interface BenchExports extends CoreExports {
  csum_plain(ptr: number, len: number, seed: number): number;
  csum_turn(ptr: number, len: number, rounds: number): number;
  csum_turn_plain(ptr: number, len: number, rounds: number): number;
  ring_produce_numbers(ring: number, total: number, burst: number): void;
  ring_consume_numbers(ring: number, total: number, burst: number): number;
  ring_turn_numbers(producer: number, consumer: number, total: number, burst: number): number;
  rss_turn(data: number, len: number, rounds: number): number;
  rss_turn_plain(key: number, input: number, bytes: number, rounds: number): number;
  stream_copies(ctx: number, id: number, len: number, rounds: number, place: boolean): number;
  stream_echo(ctx: number, count: number, most: number): number;
  stream_echo_until(ctx: number, count: number, most: number, stop: number): void;
  stream_plain_copies(to: number, from: number, len: number, rounds: number): number;
}

const WASM = new URL('../../build/bench/core.wasm', import.meta.url);
let cached: WebAssembly.Module | undefined;

/** @throws EtherloomError ERR_CORE_MISSING when it was not built */
export function benchModule(): WebAssembly.Module {
  if (cached) return cached;
  let bytes: Buffer;
  try {
    bytes = readFileSync(WASM);
  } catch (cause) {
    throw new EtherloomError('ERR_CORE_MISSING', 'the core of the benchmarks is not built', {
      cause,
      expected: 'npm run build:bench',
    });
  }
  return (cached = new WebAssembly.Module(new Uint8Array(bytes)));
}

export const benchCore = (arena: Arena, lane: number, module = benchModule()): BenchExports =>
  instantiateCore(arena, lane, module).exports as BenchExports;
