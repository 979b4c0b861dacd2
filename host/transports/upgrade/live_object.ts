/**
 * The object of a transport at work: its maps stay, its programs can be replaced while lanes run them. What libbpf calls
 * reuse of maps, and what a kernel does program by program, for all programs of an object at a time.
 *
 *   object ─ open, size, set ─▶ layouts compared ─▶ verified, compiled, loaded beside the old ─▶ every lane changes between
 *   two bursts (Engine.supersede) ─▶ hooks, entries, timers name the new ─▶ the old are unloaded after a grace period
 *
 * Until the lanes change, whatever fails leaves everything as it was.
 */
import { type CollectedProgram, Collection } from '../../bpf/collection.js';
import type { BpfMap } from '../../bpf/maps/index.js';
import type { KeyedMap } from '../../bpf/maps/keyed.js';
import { isRunnable } from '../../bpf/program_types.js';
import type { LoadedProgram } from '../../engine/program.js';
import { UnheardError } from '../../engine/supersede.js';
import type { LiveTransport, ObjectSource, UpgradeOptions, UpgradeReport } from '../../engine/transports.js';
import { EtherloomError } from '../../errors.js';
import type { TransportEnv } from '../contract.js';
import { counterNames, namedCounters, type Records, recordsOf } from '../records.js';
import { closeCell, freeCell, newCell, openCell } from '../records_cell.js';
import { emptyEntries, emptyKeys } from './entries.js';
import { type LiveMaps, planMaps } from './map_plan.js';
import type { Migration } from './migration.js';
import { type ObjectSettings, PreparedObject } from './prepared.js';
import { probation, requireTimes } from './probation.js';
import { type OpenedSource, openSource } from './source.js';
import { type Loaded, Staged } from './staged.js';

export interface LivePlan extends ObjectSettings {
  /** What it is called in `Engine.transports`. */
  name: string;
  object: ObjectSource;
  /** Per-CPU array of its counters, whose key is an enum of their names. */
  counters: string;
  /** Those that tell of errors: what a probation looks at. */
  errors: readonly string[];
}

/** Objects whose code is kept: the one at work, the one before, and some that are tried in turn. */
const MOST_PREPARED = 4;
/** Who has places of maps in hand. What it is told by must not throw. */
type Follower = () => void;

export class LiveObject implements LiveTransport {
  readonly name: string;
  readonly stack: string;
  readonly errorCounters: readonly string[];
  #generation = 1;
  #collection: Loaded;
  #current: PreparedObject;
  /** By name: what the programs at work use, and what former ones had that these do not know. */
  readonly #maps: Record<string, BpfMap> = {};
  /** All that end with the transport. */
  readonly #owned = new Set<BpfMap>();
  /** In order of their last use. */
  readonly #prepared = new Map<string, PreparedObject>();
  /** Former programs that could not be unloaded. */
  #leftover: Loaded[] = [];
  readonly #followers = new Set<Follower>();
  /** By map: the word that tells threads where its records are. */
  readonly #cells = new Map<string, number>();
  #turn: Promise<unknown> = Promise.resolve();
  /** The last upgrade is over, or counts errors: what comes next is looked at then. */
  #begun: Promise<void> = Promise.resolve();
  /** Programs are neither compared nor changed. */
  #still: Promise<unknown> = Promise.resolve();
  /** Ends the probation of the last upgrade. */
  #probation = new AbortController();
  /** That go on: one, or none. */
  #probations = 0;
  #closing = false;
  readonly #unlist: () => void;

  private constructor(
    readonly env: TransportEnv,
    readonly plan: LivePlan,
    prepared: PreparedObject,
    collection: Loaded,
  ) {
    this.name = plan.name;
    this.stack = env.stack ?? String(env.table);
    this.errorCounters = plan.errors;
    this.#collection = collection;
    this.#current = prepared;
    this.#keep(prepared);
    this.#take(collection, collection.disown());
    this.#unlist = env.engine.transports.add(this);
  }

  /** @throws EtherloomError ERR_ARENA_FULL when the engine's mapBytes do not do; VerifierError */
  static async load(env: TransportEnv, plan: LivePlan): Promise<LiveObject> {
    const prepared = PreparedObject.of(openSource(plan.object), plan);
    const collection = await Collection.load(prepared.spec, env.engine, { compile: prepared.compile });
    return new LiveObject(env, plan, prepared, collection);
  }

  get generation(): number {
    return this.#generation;
  }

  get object(): string {
    return this.#current.label;
  }

  /** The programs at work. Another after each upgrade. */
  get collection(): Collection<LoadedProgram> {
    return this.#collection;
  }

  get maps(): Readonly<Record<string, BpfMap>> {
    return this.#maps;
  }

  /** A map by name, as the class that its type has. @throws EtherloomError ERR_COLLECTION_MAP */
  map<M extends BpfMap = BpfMap>(name: string): M {
    return Object.hasOwn(this.#maps, name) ? (this.#maps[name] as M) : this.#collection.map<M>(name);
  }

  /** A program by name, as it is loaded now. @throws EtherloomError ERR_COLLECTION_PROGRAM */
  program(name: string): CollectedProgram<LoadedProgram> {
    return this.#collection.program(name);
  }

  /** Records of a map, for RecordTable in any thread: it follows when an upgrade moves them. */
  records(name: string): Records {
    const { arena } = this.env.engine;
    let cell = this.#cells.get(name);
    if (cell === undefined) this.#cells.set(name, (cell = newCell(arena)));
    return { ...recordsOf(this.map(name)), cell };
  }

  counters(): Record<string, number> {
    return namedCounters(this.map(this.plan.counters) as unknown as KeyedMap<number, bigint[]>);
  }

  get #live(): LiveMaps {
    return { name: this.name, maps: this.#maps, owned: this.#owned };
  }

  // ── upgrading ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** One after another; the next one cuts a probation short, unless it is refused. @throws as Transports.upgrade */
  async upgrade(objects: ObjectSource, options: UpgradeOptions = {}): Promise<UpgradeReport> {
    const source = openSource(objects);
    if (this.#closing) throw this.#closed();
    const earlier = this.#begun;
    let begun = (): void => {};
    this.#begun = new Promise(done => {
      begun = done;
    });
    try {
      // What those before it leave behind is what it must fit.
      await earlier;
      // What is refused leaves the probation before it as it was.
      const next = await this.#alone(() => this.#admit(source, options));
      return await this.#begin(next, options, begun);
    } finally {
      begun();
    }
  }

  /** @throws EtherloomError for what cannot be: all that can be known before the lanes change, while a probation goes on */
  async #admit(source: OpenedSource, options: UpgradeOptions): Promise<PreparedObject> {
    if (this.#closing) throw this.#closed();
    const known = this.#prepared.get(source.key)?.named(source.label);
    const next = known ?? PreparedObject.of(source, this.plan, this.plan);
    this.#require(next, options);
    next.verify();
    if (this.#probations === 0) return next;
    // Whether there is memory, and somebody for every timer's function, is known when it is loaded.
    const { fresh = [] } = options;
    const plan = planMaps(this.#live, next, fresh);
    const staged = await Staged.load(this.env.engine, next, plan, this.#collection, this.#maps);
    try {
      staged.requireHeirs();
    } finally {
      await staged.discard();
    }
    return next;
  }

  /** Ends the probation before it. @param begun it rests, counting errors */
  #begin(next: PreparedObject, options: UpgradeOptions, begun: () => void): Promise<UpgradeReport> {
    if (this.#closing) throw this.#closed();
    this.#probation.abort(
      new EtherloomError('ERR_UPGRADE_ENDED', `another upgrade of ${this.name} came`, {
        ...{ file: next.label, expected: 'one probation at a time' },
      }),
    );
    this.#probation = new AbortController();
    const ended = this.#probation.signal;
    const done = this.#turn.then(async () => {
      if (options.probationMs === undefined) return this.#alone(() => this.#change(next, options));
      // The one before it may have put older programs back.
      this.#require(next, options);
      const before = this.#current;
      const watched = {
        counters: () => this.counters(),
        names: this.errorCounters,
        ended,
        change: (changed: () => void) => this.#alone(() => this.#change(next, options, changed)),
        back: () => this.#alone(() => this.#change(before, options)),
      };
      begun();
      this.#probations++;
      return probation(watched, options).finally(() => this.#probations--);
    });
    this.#turn = done.catch(() => {});
    return done;
  }

  /** @throws EtherloomError for what can be known before anything is loaded */
  #require(next: PreparedObject, options: UpgradeOptions): void {
    planMaps(this.#live, next, options.fresh ?? []);
    this.#requireHeirs(next);
    if (options.probationMs === undefined) return;
    requireTimes(options);
    this.#requireWayBack(next, options);
    this.#requireCounters(next);
  }

  /** One at a time: programs are compared with those at work, and changed. */
  #alone<T>(work: () => T | Promise<T>): Promise<T> {
    const done = this.#still.then(work);
    this.#still = done.catch(() => {});
    return done;
  }

  #closed(): EtherloomError {
    return new EtherloomError('ERR_STACK_CLOSED', `upgrade of ${this.name}, whose stack is closed`);
  }

  async #change(
    next: PreparedObject,
    { fresh = [] }: UpgradeOptions,
    changed: () => void = () => {},
  ): Promise<UpgradeReport> {
    const began = performance.now();
    const { engine } = this.env;
    if (this.#closing) throw this.#closed();
    const plan = planMaps(this.#live, next, fresh);
    this.#requireHeirs(next);
    const old = this.#collection;
    const staged = await Staged.load(engine, next, plan, old, this.#maps);
    const { collection, made, migrations, stops } = staged;
    let unheard: UnheardError | undefined;
    try {
      const moves = plan.migrated.length + plan.fresh.length > 0;
      stops.join(
        await engine.supersede(staged.heirs, moves ? () => this.#move(migrations, collection) : undefined),
      );
    } catch (error) {
      if (error instanceof UnheardError) unheard = error;
      else {
        await staged.discard();
        throw error;
      }
    }
    changed();
    // Where lanes are not heard of nothing can be unloaded, either.
    await staged.endMigrations(!unheard);
    collection.fillEntries();
    // Entries of programs, or by keys, that the new object does not have.
    emptyEntries(plan.given, old);
    emptyKeys(old, collection);
    const replaced = this.#take(collection, made);
    this.#collection = collection;
    this.#current = next;
    this.#generation++;
    this.#leftover.push(old);
    if (unheard) throw unheard;
    await this.#endLeftover();
    for (const map of replaced) this.#end(map);
    this.#keep(next);
    for (const { placed } of Object.values(old.programs)) stops.join(placed.stops.take());
    return {
      transport: `${this.stack}/${this.name}`,
      object: next.label,
      generation: this.#generation,
      pausesNs: stops.longestNs,
      ranNs: stops.longestRunNs,
      stops: stops.byLane.map(lane => ({
        count: lane.length,
        totalNs: lane.reduce((sum, s) => sum + s.ns, 0),
      })),
      newMaps: made.filter(m => !m.spec.frozen && !plan.migrated.includes(m.name)).map(m => m.name),
      migrated: migrations.map(m => ({ map: m.to.name, values: m.values })),
      tookMs: performance.now() - began,
    };
  }

  /** The old programs cannot be put back over values of another layout. @throws EtherloomError ERR_UPGRADE_OPTIONS */
  #requireWayBack(next: PreparedObject, { fresh = [] }: UpgradeOptions): void {
    const { migrated, fresh: lost } = planMaps(this.#live, next, fresh);
    const moved = [...migrated, ...lost];
    if (moved.length)
      throw new EtherloomError(
        'ERR_UPGRADE_OPTIONS',
        `a probation of an object that changes the layout of ${moved.join(', ')}`,
        { file: next.label, expected: 'no probation: there is no way back' },
      );
  }

  /** What counts none of these errors any more would stand every probation. @throws EtherloomError ERR_UPGRADE_OPTIONS */
  #requireCounters(next: PreparedObject): void {
    const { counters } = this.plan;
    const now = counterNames(this.map(counters).spec);
    const watched = this.errorCounters.filter(name => now.has(name));
    const after = Object.hasOwn(next.spec.maps, counters)
      ? counterNames(next.spec.maps[counters])
      : undefined;
    const missing = watched.filter(name => !after?.has(name));
    if (watched.length > 0 && !missing.length) return;
    const what = missing.length ? `the counters ${missing.join(', ')}` : 'counters of errors';
    throw new EtherloomError('ERR_UPGRADE_OPTIONS', `a probation of an object without ${what}`, {
      ...{ file: next.label, expected: `no probation, or a map ${counters} whose keys have those names` },
    });
  }

  /**
   * While every lane stands still, on this thread: values are rewritten, and whoever has places of maps in hand looks at the
   * new ones. When it throws nothing has changed.
   */
  #move(migrations: readonly Migration[], collection: Loaded): void {
    const { arena } = this.env.engine;
    const moved = [...this.#cells].filter(
      ([name]) => this.#maps[name] !== (collection.maps[name] ?? this.#maps[name]),
    );
    const before = { ...this.#maps };
    for (const [, cell] of moved) closeCell(arena, cell);
    let texts: (string | undefined)[] = [];
    try {
      for (const m of migrations) m.run();
      texts = moved.map(([name]) => JSON.stringify(recordsOf(collection.map(name))));
      Object.assign(this.#maps, collection.maps);
    } finally {
      moved.forEach(([, cell], i) => {
        openCell(arena, cell, texts[i]);
      });
    }
    try {
      for (const follow of this.#followers) follow();
    } catch (cause) {
      Object.assign(this.#maps, before);
      for (const [name, cell] of moved) {
        closeCell(arena, cell);
        openCell(arena, cell, JSON.stringify(recordsOf(before[name])));
      }
      for (const follow of this.#followers) follow();
      throw cause;
    }
  }

  /** Has `follow` told when maps are in other places: lanes stand still meanwhile. Returns what ends that. */
  onMoved(follow: Follower): () => void {
    this.#followers.add(follow);
    return () => this.#followers.delete(follow);
  }

  /** Whoever is named somewhere needs somebody in its place. @throws EtherloomError ERR_UPGRADE_PROGRAM */
  #requireHeirs(next: PreparedObject): void {
    const own = new Set<object>(this.#owned);
    for (const [name, { placed }] of Object.entries(this.#collection.programs)) {
      if (Object.hasOwn(next.spec.programs, name) && isRunnable(next.spec.programs[name].type)) continue;
      // Tail calls within the object: its own prog arrays are as the new object says.
      const holders = this.env.engine.holders(placed, own);
      if (holders.length)
        throw new EtherloomError(
          'ERR_UPGRADE_PROGRAM',
          `it has no program ${name}, which is in use at ${holders.join(', ')}`,
          { file: next.label, expected: Object.keys(this.#collection.programs).join(', ') },
        );
    }
  }

  // ── maps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes on what a collection uses, and owns what was made for it. Returns maps that nobody uses any more. */
  #take(collection: Loaded, made: readonly BpfMap[]): BpfMap[] {
    for (const map of made) this.#owned.add(map);
    Object.assign(this.#maps, collection.maps);
    const used = new Set(Object.values(this.#maps));
    return [...this.#owned].filter(map => !map.spec.frozen && !used.has(map));
  }

  /** Keeps the code of an object, as long as it is one of the last; lets constants go that no code kept has in it. */
  #keep(prepared: PreparedObject): void {
    this.#prepared.delete(prepared.key);
    this.#prepared.set(prepared.key, prepared);
    for (const [key, p] of this.#prepared) {
      if (this.#prepared.size <= MOST_PREPARED) break;
      if (p !== this.#current) this.#prepared.delete(key);
    }
    const used = new Set(Object.values(this.#maps));
    for (const p of this.#prepared.values()) for (const map of p.constants) used.add(map);
    for (const map of this.#owned) if (map.spec.frozen && !used.has(map)) this.#end(map);
  }

  /** Nobody uses it any more. One that programs still have, which could not be unloaded, ends with the transport. */
  #end(map: BpfMap): void {
    if (this.#leftover.length) return;
    map.releasePrograms();
    map.releaseTimers();
    map.destroy();
    this.#owned.delete(map);
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Unloads former programs. Those that are still named stay, and nothing of them runs. */
  async #endLeftover(): Promise<void> {
    const left: Loaded[] = [];
    for (const old of this.#leftover) {
      try {
        await old.close();
      } catch (cause) {
        if (!(cause instanceof EtherloomError)) throw cause;
        left.push(old);
      }
    }
    this.#leftover = left;
  }

  /** Unloads everything. @throws EtherloomError ERR_PROGRAM_BUSY while an entrance or a hook names its programs */
  async close(): Promise<void> {
    this.#closing = true;
    this.#probation.abort(this.#closed());
    await this.#turn;
    // One that is looked at yet is refused, and leaves nothing.
    await this.#still;
    if (this.#leftover.length) {
      for (const map of this.#owned) map.releasePrograms();
      await this.#endLeftover();
    }
    this.#collection.adopt([...this.#owned]);
    this.#owned.clear();
    try {
      await this.#collection.close();
    } catch (cause) {
      for (const map of this.#collection.disown()) this.#owned.add(map);
      this.#closing = false;
      throw cause;
    }
    for (const cell of this.#cells.values()) freeCell(this.env.engine.arena, cell);
    this.#cells.clear();
    this.#unlist();
  }
}
