/**
 * Fuzzing, seeded: a parser of untrusted bytes either succeeds or throws an EtherloomError with a code, and
 * comes back soon. Anything else is printed with what repeats it: target, seed and iteration.
 * tests/fuzz/targets/*.ts say what is fuzzed; tests/fuzz/fuzz.test.ts runs 20,000 of each, tests/fuzz/run.ts more.
 */
import { Worker } from 'node:worker_threads';
import { EtherloomError } from '../../host/errors.js';

export interface FuzzTarget {
  /** Name on the command line, e.g. `pcap`. */
  name: string;
  /** Valid inputs (and interesting invalid ones) that mutation starts from. At least one. */
  seeds: () => Uint8Array[];
  /** Feeds one input to the parser. May throw only EtherloomError; may return a promise (then keep it cheap). */
  run: (input: Uint8Array) => unknown;
  /** Words worth inserting: keywords, magic numbers. */
  dictionary?: (string | Uint8Array)[];
  /** Mends what every mutation breaks (lengths said twice, checksums) in half of the inputs, so that deeper checks are met. */
  repair?: (input: Uint8Array) => void;
  /** Makes an input by itself, where mutated seeds would be refused at the first check. Some are mutated afterwards. */
  make?: (rng: Rng) => Uint8Array;
  /** Before the first input, and after the last. */
  begin?: () => unknown;
  end?: () => unknown;
  /** What an input does depends on those before it: a failure is repeated from the first one. */
  stateful?: true;
  /** Inputs never grow beyond this. Default 65,536. */
  maxBytes?: number;
  /** One input may take this long before it counts as a hang. Default 1,000 ms (a busy machine is no hang). */
  maxMs?: number;
}

export interface FuzzOptions {
  /** Inputs to try. Default 20,000. */
  count?: number;
  /** Default 1. */
  seed?: number;
  /** First iteration: `from: i, count: 1` repeats one failure. Default 0. */
  from?: number;
}

export interface FuzzReport {
  name: string;
  inputs: number;
  /** Inputs the parser took. */
  accepted: number;
  /** Inputs refused, by error code. */
  refused: Record<string, number>;
  ms: number;
  /** Longest time for one input, ms. */
  longestMs: number;
}

/** Seeded pseudo random numbers: xorshift128 (Marsaglia 2003) filled by splitmix32, so that near seeds differ at once. */
export class Rng {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number, stream = 0) {
    let s = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0;
    const split = (): number => {
      s = (s + 0x9e3779b9) >>> 0;
      let z = s;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = split();
    this.#b = split();
    this.#c = split();
    this.#d = split() | 1;
  }

  /** Uniform in 0 … 2³² − 1. */
  u32(): number {
    const t = this.#a ^ (this.#a << 11);
    this.#a = this.#b;
    this.#b = this.#c;
    this.#c = this.#d;
    this.#d = this.#d ^ (this.#d >>> 19) ^ t ^ (t >>> 8);
    return this.#d >>> 0;
  }

  /** Uniform in 0 … 2⁶⁴ − 1. */
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** Uniform in 0 … n − 1; 0 when n is 0. */
  below(n: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * n);
  }

  /** Uniform in low … high, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with probability p. */
  chance(p: number): boolean {
    return this.u32() < p * 0x1_0000_0000;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)];
  }

  bytes(n: number): Uint8Array {
    const out = new Uint8Array(n);
    for (let i = 0; i < n; i++) out[i] = this.u32() >>> 11;
    return out;
  }
}

/** Where parsers break: around zero, sign changes, powers of two, all ones. */
const INTERESTING = [
  0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 1023, 1024, 4095, 4096, 0x7fff, 0x8000,
  0xffff, 0x10000, 0xffffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
];

type Mutator = (rng: Rng, bytes: Uint8Array, all: readonly Uint8Array[], words: Uint8Array[]) => Uint8Array;

const splice = (bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array => {
  const out = new Uint8Array(bytes.length - remove + insert.length);
  out.set(bytes.subarray(0, at));
  out.set(insert, at);
  out.set(bytes.subarray(at + remove), at + insert.length);
  return out;
};

const writeInt = (rng: Rng, bytes: Uint8Array, value: number): void => {
  const width = rng.pick([1, 2, 4, 4, 8]);
  if (bytes.length < width) return;
  // Half of the time aligned: most formats have their lengths there.
  const at = rng.chance(0.5)
    ? rng.below(Math.floor(bytes.length / width)) * width
    : rng.below(bytes.length - width + 1);
  const little = rng.chance(0.5);
  for (let i = 0; i < width; i++) {
    const shift = 8 * (little ? i : width - 1 - i);
    bytes[at + i] = shift < 32 ? value >>> shift : value >>> 31 ? 0xff : 0;
  }
};

const mutators: Record<string, Mutator> = {
  flipBit(rng, bytes) {
    if (bytes.length) bytes[rng.below(bytes.length)] ^= 1 << rng.below(8);
    return bytes;
  },
  setByte(rng, bytes) {
    if (bytes.length) bytes[rng.below(bytes.length)] = rng.u32();
    return bytes;
  },
  interestingInt(rng, bytes) {
    writeInt(rng, bytes, rng.pick(INTERESTING));
    return bytes;
  },
  lengthInt(rng, bytes) {
    writeInt(rng, bytes, bytes.length + rng.between(-4, 4));
    return bytes;
  },
  addInt(rng, bytes) {
    if (bytes.length) bytes[rng.below(bytes.length)] += rng.between(-16, 16);
    return bytes;
  },
  insert(rng, bytes) {
    return splice(bytes, rng.below(bytes.length + 1), 0, rng.bytes(rng.between(1, 16)));
  },
  remove(rng, bytes) {
    const at = rng.below(bytes.length);
    return splice(bytes, at, Math.min(bytes.length - at, rng.between(1, 32)), new Uint8Array(0));
  },
  truncate(rng, bytes) {
    return bytes.slice(0, rng.below(bytes.length + 1));
  },
  duplicate(rng, bytes) {
    const at = rng.below(bytes.length);
    const piece = bytes.slice(at, at + rng.between(1, 64));
    return splice(bytes, rng.below(bytes.length + 1), 0, piece);
  },
  copyWithin(rng, bytes) {
    const at = rng.below(bytes.length);
    bytes.copyWithin(rng.below(bytes.length), at, at + rng.between(1, 32));
    return bytes;
  },
  crossOver(rng, bytes, all) {
    const other = rng.pick(all);
    const from = rng.below(other.length);
    const piece = other.subarray(from, from + rng.between(1, 256));
    const at = rng.below(bytes.length + 1);
    return splice(bytes, at, Math.min(bytes.length - at, rng.chance(0.5) ? piece.length : 0), piece);
  },
  word(rng, bytes, _all, words) {
    if (!words.length) return bytes;
    const word = rng.pick(words);
    const at = rng.below(bytes.length + 1);
    return splice(bytes, at, rng.chance(0.5) ? Math.min(word.length, bytes.length - at) : 0, word);
  },
};
const MUTATORS = Object.values(mutators);

/** Makes one hostile input from the seeds: one to a few mutations of one of them, seldom plain noise. */
export function mutate(
  rng: Rng,
  seeds: readonly Uint8Array[],
  words: Uint8Array[] = [],
  maxBytes = 65536,
): Uint8Array {
  if (rng.chance(0.01)) return rng.bytes(rng.below(Math.min(512, maxBytes)));
  let bytes: Uint8Array = Uint8Array.from(rng.pick(seeds));
  // Mostly few: many mutations only ever exercise the first check.
  const times = rng.chance(0.7) ? rng.between(1, 3) : rng.between(4, 24);
  for (let i = 0; i < times; i++) bytes = rng.pick(MUTATORS)(rng, bytes, seeds, words);
  return bytes.length > maxBytes ? bytes.slice(0, maxBytes) : bytes;
}

/**
 * A synchronous parser that never returns cannot be timed from its own thread: another one watches the
 * iteration counter, names the culprit and ends the process.
 */
class Watchdog {
  readonly #progress = new Int32Array(new SharedArrayBuffer(4));
  readonly #worker: Worker;

  constructor(label: string, limitMs: number) {
    this.#worker = new Worker(
      `const { workerData: w } = require('node:worker_threads');
       let last = -1, since = Date.now();
       setInterval(() => {
         const now = Atomics.load(w.progress, 0);
         if (now !== last) { last = now; since = Date.now(); }
         else if (Date.now() - since > w.limitMs) {
           require('node:fs').writeSync(2, 'fuzz: hung: ' + w.label + ' iteration ' + now + '\\n');
           process.kill(process.pid, 'SIGKILL');
         }
       }, 250);`,
      { eval: true, execArgv: [], workerData: { progress: this.#progress, label, limitMs } },
    );
    this.#worker.unref();
  }

  at(iteration: number): void {
    Atomics.store(this.#progress, 0, iteration);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

const hex = (bytes: Uint8Array): string =>
  `${Buffer.from(bytes.subarray(0, 512)).toString('hex')}${bytes.length > 512 ? `… (${bytes.length} bytes)` : ''}`;

async function timeOnce(target: FuzzTarget, input: Uint8Array): Promise<number> {
  const started = performance.now();
  try {
    await target.run(input);
  } catch {
    // The first run has judged it.
  }
  return performance.now() - started;
}

/** One input: made, and then perhaps mutated; or mutated out of the seeds. Half of what is mutated is mended. */
function draw(target: FuzzTarget, rng: Rng, seeds: readonly Uint8Array[], words: Uint8Array[]): Uint8Array {
  const { maxBytes = 65536 } = target;
  const made = target.make?.(rng);
  if (made && rng.chance(0.8)) return made;
  const input = mutate(rng, made ? [made] : seeds, words, maxBytes);
  if (target.repair && rng.chance(0.5)) target.repair(input);
  return input;
}

/**
 * Runs a target. Every iteration draws from a stream of its own, so that any one can be repeated alone.
 * @throws Error naming target, seed, iteration and the input in hex, when something but a coded error came
 *   out or one input took longer than `maxMs`.
 */
export async function fuzz(target: FuzzTarget, options: FuzzOptions = {}): Promise<FuzzReport> {
  const { count = 20_000, seed = 1, from = 0 } = options;
  const { maxMs = 1000 } = target;
  const seeds = target.seeds();
  if (!seeds.length) throw new Error(`fuzz target ${target.name} has no seeds`);
  const words = (target.dictionary ?? []).map(w =>
    typeof w === 'string' ? new Uint8Array(Buffer.from(w, 'latin1')) : w,
  );
  const report: FuzzReport = {
    name: target.name,
    inputs: 0,
    accepted: 0,
    refused: {},
    ms: 0,
    longestMs: 0,
  };
  const again = (i: number): string =>
    target.stateful ? `${i - from + 1} ${seed} ${from}` : `1 ${seed} ${i}`;
  await target.begin?.();
  const watchdog = new Watchdog(`${target.name} seed ${seed}`, Math.max(30_000, maxMs * 10));
  const started = performance.now();
  try {
    let before = started;
    for (let i = from; i < from + count; i++) {
      watchdog.at(i);
      const rng = new Rng(seed, i);
      const input = draw(target, rng, seeds, words);
      const fail = (what: string, cause?: unknown): Error =>
        new Error(
          `${target.name}: ${what}\n  repeat: tsx tests/fuzz/run.ts ${target.name} ${again(i)}\n  input: ${hex(input)}`,
          { cause },
        );
      try {
        const result = target.run(input);
        if (result instanceof Promise) await result;
        report.accepted++;
      } catch (error) {
        if (!(error instanceof EtherloomError) || !/^ERR_[A-Z0-9_]+$/.test(error.code))
          throw fail(
            `threw what is no coded error: ${error instanceof Error ? error.stack : String(error)}`,
            error,
          );
        report.refused[error.code] = (report.refused[error.code] ?? 0) + 1;
      }
      report.inputs++;
      const now = performance.now();
      let took = now - before;
      // On a busy machine any input may wait: only one that is slow every time is slow.
      for (let n = 0; took > maxMs && n < 3 && !target.stateful; n++)
        took = Math.min(took, await timeOnce(target, input));
      report.longestMs = Math.max(report.longestMs, took);
      if (took > maxMs) throw fail(`took ${took.toFixed(0)} ms, ${maxMs} allowed`);
      before = performance.now();
    }
    await target.end?.();
  } finally {
    report.ms = performance.now() - started;
    await watchdog.stop();
  }
  return report;
}
