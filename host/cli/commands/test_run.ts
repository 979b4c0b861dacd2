/** etherloom test-run: one packet through one program, in the JIT, the interpreter or the real kernel. */
import { Collection, HostPrograms } from '../../bpf/collection.js';
import { configureKernelMaps, configureMaps, type MapConfig, readMapConfig } from '../../bpf/config.js';
import { parseHex } from '../../bpf/hex.js';
import { kernelAvailable } from '../../bpf/kernel/available.js';
import { KernelCollection } from '../../bpf/kernel/collection.js';
import { chooseProgram, openObject } from '../../bpf/open.js';
import { programTypes } from '../../bpf/program_types.js';
import type { CollectionSpec, ProgramSpec } from '../../bpf/spec.js';
import { testRun } from '../../engine/test_collection.js';
import { EtherloomError } from '../../errors.js';
import { EXIT, print, toJson } from '../output.js';

export interface TestRunCliOptions {
  program?: string;
  data: string;
  repeat: number;
  engine: 'jit' | 'interp' | 'kernel';
  config?: string;
  json?: boolean;
}

interface Outcome {
  retval: number;
  data: Uint8Array;
  nsPerRun: number;
}

function inKernel(
  object: CollectionSpec,
  spec: ProgramSpec,
  data: Uint8Array,
  repeat: number,
  config?: MapConfig,
): Outcome {
  const available = kernelAvailable();
  if (!available.ok)
    throw new EtherloomError('ERR_KERNEL_UNAVAILABLE', available.reason, {
      expected: '--engine jit or interp',
    });
  const kernel = KernelCollection.load(object, { log: 'statistics' });
  try {
    if (config) configureKernelMaps(kernel, config);
    const run = kernel.program(spec.name).testRun({ data, repeat });
    return { retval: run.retval, data: run.dataOut, nsPerRun: run.durationNs };
  } finally {
    kernel.close();
  }
}

async function inProcess(
  object: CollectionSpec,
  spec: ProgramSpec,
  data: Uint8Array,
  options: TestRunCliOptions,
  config?: MapConfig,
): Promise<Outcome> {
  const collection = await Collection.load(object, HostPrograms.create(), { programs: [spec.name] });
  if (config) configureMaps(collection.maps, config, collection.spec);
  const engine = options.engine === 'interp' ? 'interp' : 'jit';
  return testRun(collection, data, { program: spec.name, repeat: options.repeat, engine });
}

export async function testRunObject(path: string, options: TestRunCliOptions): Promise<number> {
  const data = parseHex(options.data, '--data', 'ERR_USAGE_HEX');
  const object = openObject(path);
  const spec = chooseProgram(object, options.program);
  const config = options.config ? readMapConfig(options.config) : undefined;
  const outcome =
    options.engine === 'kernel'
      ? inKernel(object, spec, data, options.repeat, config)
      : await inProcess(object, spec, data, options, config);
  const verdict = programTypes[spec.type].verdict(outcome.retval);
  if (options.json)
    print(
      toJson({
        program: spec.name,
        engine: options.engine,
        repeat: options.repeat,
        retval: outcome.retval,
        verdict,
        data: outcome.data,
        nsPerRun: outcome.nsPerRun,
      }),
    );
  else
    print(
      `${spec.name} (${options.engine}): returns ${outcome.retval}${verdict ? ` ${verdict}` : ''}, ${outcome.nsPerRun.toFixed(1)} ns per run\n` +
        Buffer.from(outcome.data).toString('hex'),
    );
  return EXIT.DONE;
}
