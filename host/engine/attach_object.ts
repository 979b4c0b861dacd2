/** An object at a port: its programs loaded, its maps filled, one program attached. For captures and for live interfaces. */
import { type CollectedProgram, Collection } from '../bpf/collection.js';
import { configureMaps, type MapConfig } from '../bpf/config.js';
import { programTypes, runnableTypes } from '../bpf/program_types.js';
import type { CollectionSpec, ProgramType } from '../bpf/spec.js';
import { EtherloomError } from '../errors.js';
import { dropped, type PortCounters } from './counters.js';
import type { Engine } from './engine.js';
import type { LoadedProgram } from './program.js';

export interface AttachedObject {
  program: CollectedProgram<LoadedProgram>;
  collection: Collection<LoadedProgram>;
}

/** @throws EtherloomError ERR_PROGRAM_TYPE for one that hangs nowhere, ERR_CONFIG_*, ERR_COLLECTION_*; VerifierError */
export async function attachObject(
  engine: Engine,
  port: string | number,
  object: CollectionSpec,
  name: string,
  config?: MapConfig,
): Promise<AttachedObject> {
  const collection = await Collection.load(object, engine, { programs: [name] });
  if (config) configureMaps(collection.maps, config, collection.spec);
  const program = collection.program(name);
  const hook = programTypes[program.spec.type].hook?.name;
  if (!hook)
    throw new EtherloomError('ERR_PROGRAM_TYPE', `${name} is of type ${program.spec.type}`, {
      expected: runnableTypes.join(', '),
    });
  engine.attach(program.placed, port, hook);
  return { program, collection };
}

/** What a program of that type said, by name; of types whose verdicts are not counted, what became of the packets. */
export function verdictsOf(type: ProgramType, c: PortCounters): Record<string, number> {
  const { counted } = programTypes[type];
  const all: Record<string, number> = counted
    ? { ...c[counted] }
    : { pass: c.pass, drop: dropped(c), redirect: c.redirect };
  return Object.fromEntries(Object.entries(all).filter(([, n]) => n > 0));
}
