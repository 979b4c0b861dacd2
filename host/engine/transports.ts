/**
 * The live transports of an engine's stacks, by name, and what can be put in their place while they run. Who they are is not
 * known here: a transport that can be upgraded makes itself known (host/transports/upgrade/).
 */
import type { CollectionSpec } from '../bpf/spec.js';
import { EtherloomError } from '../errors.js';

/** What programs are read from: path of an object, its bytes, or what openObject returned. */
export type ObjectSource = string | Uint8Array | CollectionSpec;

export interface UpgradeReport {
  /** As `stack/name`. */
  transport: string;
  /** What was put to use: a path, or what else names it. */
  object: string;
  /** Counts the objects that it had: 1 is what it was loaded with. */
  generation: number;
  /** By lane: the longest time that its loop stood still, ns. Empty where no lane ran. */
  pausesNs: number[];
  /** The same but for what the lane's thread waited for a CPU that another thread had. Equal where that is not known. */
  ranNs: number[];
  /** By lane: how often it stood still, and for how long altogether, ns. */
  stops: { count: number; totalNs: number }[];
  /** Maps that the new object brought along, and whose contents of before nobody has any more (`fresh`). */
  newMaps: string[];
  /** Maps whose layout changed, with how many values were rewritten. */
  migrated: { map: string; values: number }[];
  /** From the call to the end of the old programs, ms. */
  tookMs: number;
  /** With a probation: what it found. */
  probation?: ProbationReport;
}

export interface ProbationReport {
  /** How long the new programs were looked at, ms. */
  ms: number;
  /** Error counters that rose: events in that time, and those that the time before would make one expect. */
  counters: Record<string, { risen: number; expected: number }>;
  /** Why it ended before its time, without a finding: another upgrade came, or the end of the stack. */
  cutShort?: string;
  /** The counters for which the old programs were put back; without: they were not. */
  rolledBack?: string[];
}

export interface UpgradeOptions {
  /**
   * Maps whose contents are let go where their layout differs: scratch of programs, figures. They begin anew.
   */
  fresh?: readonly string[];
  /**
   * For so long, ms, errors are counted as before the change; when they rise faster the old programs are put back. The next
   * upgrade, or the end of the stack, cuts it short.
   */
  probationMs?: number;
  /** How long errors are counted before the change, ms. Default: as long as the probation, at most 1000. */
  baselineMs?: number;
}

const OPTIONS: readonly string[] = ['fresh', 'probationMs', 'baselineMs'] satisfies (keyof UpgradeOptions)[];

/** @throws EtherloomError ERR_UPGRADE_OPTIONS for what is no option: it was meant to do something */
function checkOptions(options: UpgradeOptions): void {
  const wrong = Object.keys(options).find(name => !OPTIONS.includes(name));
  if (wrong !== undefined)
    throw new EtherloomError('ERR_UPGRADE_OPTIONS', `option ${wrong} of an upgrade`, {
      expected: OPTIONS.join(', '),
    });
}

/** A transport at work. */
export interface LiveTransport {
  readonly name: string;
  /** Name of its stack. */
  readonly stack: string;
  readonly generation: number;
  /** What its programs were read from. */
  readonly object: string;
  /** Those of its counters that tell of errors. */
  readonly errorCounters: readonly string[];
  /** What it counted on all lanes, by name; 0 is left out. */
  counters(): Record<string, number>;
  upgrade(objects: ObjectSource, options: UpgradeOptions): Promise<UpgradeReport>;
}

/** One line of `Transports.list`. */
export interface TransportState {
  name: string;
  stack: string;
  generation: number;
  object: string;
  counters: Record<string, number>;
}

export class Transports {
  readonly #live: LiveTransport[] = [];

  /** @internal A transport is at work from now on. Returns what ends that. */
  add(live: LiveTransport): () => void {
    this.#live.push(live);
    return () => {
      const at = this.#live.indexOf(live);
      if (at >= 0) this.#live.splice(at, 1);
    };
  }

  /** All of them, in the order in which they were loaded. */
  list(): TransportState[] {
    return this.#live.map(t => ({
      ...{ name: t.name, stack: t.stack, generation: t.generation, object: t.object },
      counters: t.counters(),
    }));
  }

  /**
   * A transport by its name, or by `stack/name` where several stacks have one.
   * @throws EtherloomError ERR_TRANSPORT_UNKNOWN, ERR_TRANSPORT_AMBIGUOUS
   */
  get(name: string): LiveTransport {
    const full = (t: LiveTransport): string => `${t.stack}/${t.name}`;
    const found = this.#live.filter(t => t.name === name || full(t) === name);
    if (found.length === 1) return found[0];
    const names = this.#live.map(full).join(', ');
    if (found.length === 0)
      throw new EtherloomError('ERR_TRANSPORT_UNKNOWN', `no transport "${name}" is at work`, {
        expected: names ? `one of ${names}` : 'a stack on this engine',
      });
    throw new EtherloomError('ERR_TRANSPORT_AMBIGUOUS', `${found.length} stacks have a transport "${name}"`, {
      expected: `one of ${found.map(full).join(', ')}`,
    });
  }

  /**
   * Puts other programs in the place of those of a live transport: every lane changes between two bursts, connections,
   * state and settings stay, nothing is dropped. When it fails nothing has changed.
   * @param objects the path of a .bpf.o, its bytes, or what openObject() returned
   * @throws EtherloomError ERR_TRANSPORT_*; ERR_UPGRADE_LAYOUT when state lies otherwise in the new object;
   * ERR_UPGRADE_PROGRAM, ERR_UPGRADE_SETTING; ERR_UPGRADE_ENDED when another came before the change; VerifierError; ERR_ARENA_FULL; ERR_ENGINE_STATE
   */
  async upgrade(name: string, objects: ObjectSource, options: UpgradeOptions = {}): Promise<UpgradeReport> {
    checkOptions(options);
    return this.get(name).upgrade(objects, options);
  }
}
