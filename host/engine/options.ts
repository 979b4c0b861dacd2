/** What an engine can be told, and the check of it: every number is looked at before anything is made. */
import { EtherloomError } from '../errors.js';
import { MAX_LANES } from '../layout/layout.gen.js';
import type { ArenaOptions } from '../mem/arena.js';
import { appRingBytes, planStreams, type StreamOptions } from '../mem/streams.js';
import type { Nic } from '../nic/nic.js';
import { checkCpus } from './cpus.js';
import type { ResidentOptions } from './resident.js';

export interface EngineOptions extends ArenaOptions {
  /** The NICs become ports 1, 2 … in this order. */
  nics: Nic[];
  /** Run the lanes on the caller's thread, one burst per `step()`. Default false: workers. */
  inline?: boolean;
  /** `virtual` needs `inline`: time stands still within a step and is set by `advance`. Default `real`. */
  clock?: 'real' | 'virtual';
  /** Where virtual time starts, ns. Default 1 s: a time of 0 means "never" to some programs. */
  startNs?: bigint;
  /** Entries of each ring, a power of two. Default 1024. */
  ringSlots?: number;
  /** Most packets taken from one ring at a time. Default 64. */
  burst?: number;
  /** Take no more packets than the rings ahead have room for, instead of dropping. Default false. */
  lossless?: boolean;
  /** `ring`: packets that pass go to the host (`receive`). `count`: they are counted and freed. Default `ring`. */
  pass?: 'ring' | 'count';
  /** Rounds that a worker makes between two looks at the clock. Default 8. */
  rounds?: number;
  /** How long an idle worker spins at least before it sleeps, µs; up to 100 while its sleeps are short. Default 50. */
  spinUs?: number;
  /** A worker without heartbeat for so long is replaced, ms. Default 5000. */
  hangMs?: number;
  /** How long a verified program is run over synthetic packets before lanes get it, ms. 0: not at all. Default 4. */
  warmMs?: number;
  /** Seed of bpf_get_prandom_u32, u32: the same seed repeats a run. Default: another one for each engine. */
  seed?: number;
  /** Replacements in a row before the engine gives a lane up. Default 5. */
  restarts?: number;
  /**
   * CPUs that the lanes keep to: lane i to the one at i, again from the first where there are more lanes. Default: where
   * the system puts them. Needs the addon; of no meaning to inline lanes.
   */
  cpus?: readonly number[];
  /** An application in the thread of each lane. Inline lanes have none: their thread is the caller's. */
  resident?: ResidentOptions;
  /**
   * Ask the kernel for large pages: with state of many MB (10,000 connections and more) less time goes into addresses. What
   * is touched of the arena is then in memory 2 MiB at a time. Needs the addon, else nothing changes. Default false.
   */
  hugePages?: boolean;
}

type NumberOption = {
  [K in keyof EngineOptions]-?: NonNullable<EngineOptions[K]> extends number ? K : never;
}[keyof EngineOptions];

interface Range {
  least: number;
  most: number;
  /** Parts of one are allowed. */
  parts?: boolean;
}

/** One arena is less than 4 GiB. */
const BYTES: Range = { least: 0, most: 2 ** 32 - 1 };
/** Longest time that a timer takes, ms. */
const LONGEST_MS = 2 ** 31 - 1;

const RANGES: Record<NumberOption, Range> = {
  lanes: { least: 1, most: MAX_LANES },
  frames: { least: 1, most: 2 ** 21 },
  mapBytes: BYTES,
  objectBytes: BYTES,
  ringBytes: BYTES,
  scratchBytes: BYTES,
  counterBytes: BYTES,
  ringSlots: { least: 2, most: 2 ** 20 },
  burst: { least: 1, most: 2 ** 20 },
  rounds: { least: 1, most: LONGEST_MS },
  spinUs: { least: 0, most: LONGEST_MS },
  hangMs: { least: 1, most: LONGEST_MS, parts: true },
  warmMs: { least: 0, most: LONGEST_MS, parts: true },
  seed: { least: 0, most: 2 ** 32 - 1 },
  restarts: { least: 0, most: LONGEST_MS },
};

/** @throws EtherloomError ERR_ENGINE_OPTIONS that names option, value, and what was expected. */
export function checkOptions(options: EngineOptions): void {
  if (typeof options !== 'object' || options === null)
    throw new EtherloomError(
      'ERR_ENGINE_OPTIONS',
      `options that are ${options === null ? 'null' : typeof options}`,
      {
        expected: 'an object with at least { nics }',
      },
    );
  if (!Array.isArray(options.nics)) refuse('nics', options.nics, 'an array of NICs');
  for (const [i, nic] of options.nics.entries())
    if (typeof nic?.open !== 'function')
      refuse(`nics[${i}]`, nic, 'a NIC: a HostNic, afXdp(…), one end of a modelLink …');
  for (const [name, range] of Object.entries(RANGES) as [NumberOption, Range][]) {
    const value: unknown = options[name];
    if (value === undefined) continue;
    const whole = range.parts || Number.isInteger(value);
    const within = typeof value === 'number' && value >= range.least && value <= range.most;
    if (!whole || !within)
      refuse(name, value, `a ${range.parts ? '' : 'whole '}number from ${range.least} to ${range.most}`);
  }
  if (options.streams !== undefined) checkStreams(options.streams, options.lanes ?? 1);
  const ringSlots = options.ringSlots ?? 1024;
  if (ringSlots & (ringSlots - 1)) refuse('ringSlots', ringSlots, 'a power of two');
  if ((options.burst ?? 64) > ringSlots)
    refuse('burst', options.burst ?? 64, `at most ringSlots (${ringSlots})`);
  if (options.startNs !== undefined && (typeof options.startNs !== 'bigint' || options.startNs < 0n))
    refuse('startNs', options.startNs, 'a bigint of at least 0');
  if (options.resident !== undefined) {
    if (options.inline) refuse('resident', 'with inline', 'worker lanes');
    const module: unknown = options.resident?.module;
    if (typeof module !== 'string' && !(module instanceof URL))
      refuse('resident.module', module, 'the URL of a module');
  }
  if (options.cpus !== undefined) checkCpus(options.cpus);
  if (options.clock === 'virtual' && !options.inline)
    refuse('clock', options.clock, "'real' with worker lanes, or inline: true");
}

function checkStreams(streams: StreamOptions, lanes: number): void {
  if (typeof streams !== 'object' || streams === null) refuse('streams', streams, '{ count, bytes }');
  try {
    planStreams(streams, lanes);
  } catch (cause) {
    const { message } = cause as EtherloomError;
    throw new EtherloomError('ERR_ENGINE_OPTIONS', `option ${message}`, { cause });
  }
}

function refuse(option: string, value: unknown, expected: string): never {
  throw new EtherloomError('ERR_ENGINE_OPTIONS', `option ${option}: ${String(value)}`, { expected });
}

/** Room for the rings of this many ports and lanes, with some to spare for links and contexts. */
export function ringBytes(options: EngineOptions, lanes: number, ringSlots: number): number {
  const ring = ringSlots * 16 + 1024;
  const perPort = (lanes * 2 + 8) * ring + (512 << 10);
  const between = (lanes + 1) * (lanes + 2) * ring;
  const pool = ((options.frames ?? 8192) / 62 + 4 * lanes + 8) * 256;
  const apps = options.streams ? appRingBytes(options.streams, lanes) : 0;
  return Math.ceil(options.nics.length * perPort * 2 + between + pool + apps + (1 << 20));
}
