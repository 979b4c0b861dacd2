/**
 * The programs of an object beside those at work: loaded in every lane with their maps and migrations, called by nobody yet.
 * Either they are put to use, or all of it is thrown away and nothing was changed.
 */
import { Collection } from '../../bpf/collection.js';
import type { BpfMap } from '../../bpf/maps/index.js';
import type { ProgramSpec } from '../../bpf/spec.js';
import type { Engine } from '../../engine/engine.js';
import type { LoadedProgram } from '../../engine/program.js';
import { Stops } from '../../engine/stops.js';
import { slotPairs } from '../../engine/supersede.js';
import { emptyEntries } from './entries.js';
import type { MapPlan } from './map_plan.js';
import { Migration } from './migration.js';
import type { PreparedObject } from './prepared.js';

export type Loaded = Collection<LoadedProgram>;

export class Staged {
  /** By program at work: who is to stand in its place. */
  readonly heirs = new Map<LoadedProgram, LoadedProgram>();
  readonly migrations: Migration[] = [];
  readonly stops = new Stops();
  readonly #migrators: LoadedProgram[] = [];

  private constructor(
    readonly engine: Engine,
    readonly plan: MapPlan,
    readonly collection: Loaded,
    /** Maps that were made for it. */
    readonly made: readonly BpfMap[],
  ) {}

  /**
   * @param old the programs at work
   * @param maps those of which values are migrated
   * @throws EtherloomError ERR_ARENA_FULL, ERR_ENGINE_STATE: nothing has changed
   */
  static async load(
    engine: Engine,
    next: PreparedObject,
    plan: MapPlan,
    old: Loaded,
    maps: Readonly<Record<string, BpfMap>>,
  ): Promise<Staged> {
    const collection = await Collection.load(next.spec, engine, {
      ...{ maps: plan.given, compile: next.compile, keepEntries: true },
    });
    const staged = new Staged(engine, plan, collection, collection.disown());
    for (const [name, { placed }] of Object.entries(old.programs))
      if (Object.hasOwn(collection.programs, name))
        staged.heirs.set(placed, collection.programs[name].placed);
    for (const { placed } of Object.values(collection.programs)) staged.stops.join(placed.stops.take());
    try {
      for (const name of plan.migrated) await staged.#migrate(name, next, maps[name]);
    } catch (error) {
      await staged.discard();
      throw error;
    }
    return staged;
  }

  async #migrate(name: string, next: PreparedObject, from: BpfMap): Promise<void> {
    const { engine, collection } = this;
    const program = next.migrations.get(name)!;
    const placed = await engine.load(next.compile(program, boundTo(program, collection)));
    this.#migrators.push(placed);
    this.stops.join(placed.stops.take());
    this.migrations.push(new Migration(engine, placed, from, collection.map(name)));
  }

  /** @throws EtherloomError ERR_SUPERSEDE for programs that cannot stand for those at work, as Engine.supersede would say */
  requireHeirs(): void {
    slotPairs(this.engine.arena, this.heirs);
  }

  /** @param heard all lanes have said that they have changed: else what may run stays loaded */
  async endMigrations(heard = true): Promise<void> {
    for (const m of this.migrations) m.free();
    if (heard) for (const program of this.#migrators.splice(0)) await this.engine.unload(program);
  }

  /** Throws it away. */
  async discard(): Promise<void> {
    await this.endMigrations();
    emptyEntries(this.plan.given, this.collection);
    this.collection.adopt([...this.made]);
    await this.collection.close();
  }
}

/** Maps that a program uses, by the keys that it has for them. @throws EtherloomError ERR_COLLECTION_MAP */
const boundTo = ({ maps }: ProgramSpec, collection: Loaded): Record<string, BpfMap> =>
  Object.fromEntries(Object.entries(maps).map(([key, map]) => [key, collection.map(map.name)]));
