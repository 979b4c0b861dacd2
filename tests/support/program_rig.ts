/**
 * A compiled object of bpf-progs on three engines side by side: interpreter, JIT, real kernel. Each has maps of its
 * own, filled from the program's config.json; packets go through all, and what they did is compared.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { decodeValue, encodeValue } from '../../host/bpf/btf/codec.js';
import { configureGlobals, type MapConfig, readMapConfig } from '../../host/bpf/config.js';
import { resolveText } from '../../host/bpf/config_text.js';
import { loadElf } from '../../host/bpf/elf/load.js';
import { interpret } from '../../host/bpf/interp/interpret.js';
import { compileProgram } from '../../host/bpf/jit/compile.js';
import type { MapBinding } from '../../host/bpf/jit/compiled.js';
import { instantiateProgram, type ProgramExports } from '../../host/bpf/jit/instantiate.js';
import { KernelCollection } from '../../host/bpf/kernel/collection.js';
import { isPerCpu } from '../../host/bpf/maps/check.js';
import { type BpfMap, createMap, KeyedMap, mapBinding } from '../../host/bpf/maps/index.js';
import { addValues } from '../../host/bpf/maps/percpu.js';
import type { CollectionSpec, MapSpec, ProgramSpec } from '../../host/bpf/spec.js';
import { verify } from '../../host/bpf/verify/verify.js';
import { testPacket } from '../../host/engine/test_run.js';
import { Arena } from '../../host/mem/arena.js';
import { instantiateCore } from '../../host/mem/core.js';

export const FILTERS = fileURLToPath(new URL('../../bpf-progs/filters/', import.meta.url));
export const OBJECTS = fileURLToPath(new URL('../../bpf-progs/obj/', import.meta.url));

export interface Verdict {
  retval: number;
  data: Uint8Array;
}

/** One engine with its maps. */
export interface ProgramEngine {
  readonly name: 'interp' | 'jit' | 'kernel';
  run(data: Uint8Array, nowNs?: bigint): Verdict;
  /** Keys and values of a map as decoded objects, per-CPU values added up. */
  contents(map: string): Map<string, unknown>;
  set(map: string, key: unknown, value: unknown): void;
  close(): void;
}

export const loadObject = (name: string): CollectionSpec =>
  loadElf(new Uint8Array(readFileSync(`${OBJECTS}${name}.bpf.o`)), `${name}.bpf.o`);

export function configOf(name: string): MapConfig {
  const file = `${FILTERS}${name}/config.json`;
  return existsSync(file) ? readMapConfig(file) : {};
}

/** Redirect targets are not the same in two worlds: these maps stay empty. */
const isRedirect = (spec: MapSpec): boolean => /^(devmap|devmap_hash|cpumap|xskmap)$/.test(spec.type);

const encode = (spec: MapSpec, what: 'keyId' | 'valueId', value: unknown): Uint8Array =>
  encodeValue(spec.btf!.types, spec.btf![what], resolveText(spec, what === 'keyId' ? 'key' : 'value', value));

function decode(spec: MapSpec, what: 'keyId' | 'valueId', bytes: Uint8Array): unknown {
  // Maps of global variables have a key without a type.
  if (spec.btf![what] === 0) return [...bytes];
  return decodeValue(spec.btf!.types, spec.btf![what], bytes);
}

/** One value of however many copies there are. */
function total(spec: MapSpec, bytes: Uint8Array): unknown {
  const stride = (spec.valueSize + 7) & ~7;
  if (!isPerCpu(spec.type)) return decode(spec, 'valueId', bytes);
  const copies = Array.from({ length: bytes.length / stride }, (_, i) =>
    decode(spec, 'valueId', bytes.slice(i * stride, i * stride + spec.valueSize)),
  );
  return addValues(copies);
}

const text = (value: unknown): string =>
  JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}` : v));

function fill(engine: Pick<ProgramEngine, 'set'>, object: CollectionSpec, config: MapConfig): void {
  for (const [name, entries] of Object.entries(config)) {
    if (!Array.isArray(entries) || isRedirect(object.maps[name])) continue;
    for (const { key, value } of entries) engine.set(name, key, value);
  }
}

abstract class Local implements ProgramEngine {
  abstract readonly name: 'interp' | 'jit';
  readonly arena = Arena.create({ frames: 16, mapBytes: 96 << 20 });
  readonly core = instantiateCore(this.arena, 1);
  protected readonly maps: Record<string, BpfMap> = {};

  constructor(
    readonly object: CollectionSpec,
    readonly program: ProgramSpec,
  ) {
    for (const [name, spec] of Object.entries(object.maps))
      this.maps[name] = createMap(this.arena, this.core, spec);
  }

  protected binding() {
    return mapBinding(
      Object.fromEntries(Object.entries(this.program.maps).map(([key, spec]) => [key, this.maps[spec.name]])),
    );
  }

  protected abstract call(ctx: number): bigint;

  run(data: Uint8Array, nowNs = 1_000_000_000n): Verdict {
    const packet = testPacket(this.arena, this.program.type, data);
    try {
      packet.reset();
      this.core.exports.clock_set(nowNs);
      const r0 = this.call(packet.ctx);
      return { retval: Number(BigInt.asUintN(32, r0)), data: packet.read().slice() };
    } finally {
      packet.free();
    }
  }

  contents(name: string): Map<string, unknown> {
    const map = this.maps[name];
    const found = new Map<string, unknown>();
    if (map instanceof KeyedMap)
      for (const [key, value] of map.rawEntries())
        found.set(text(decode(map.spec, 'keyId', key)), total(map.spec, value));
    return found;
  }

  set(name: string, key: unknown, value: unknown): void {
    const map = this.maps[name] as KeyedMap;
    map.set(encode(map.spec, 'keyId', key), encode(map.spec, 'valueId', value));
  }

  /** Another program of the object, over the same maps: gives the packet afterwards. */
  besides(name: string): (data: Uint8Array) => Uint8Array {
    const program = this.object.programs[name];
    const maps = mapBinding(
      Object.fromEntries(Object.entries(program.maps).map(([key, spec]) => [key, this.maps[spec.name]])),
    );
    const run = this.prepare(program, maps);
    return data => {
      const packet = testPacket(this.arena, program.type, data);
      try {
        packet.reset();
        run(packet.ctx);
        return packet.read().slice();
      } finally {
        packet.free();
      }
    };
  }

  protected abstract prepare(program: ProgramSpec, maps: MapBinding): (ctx: number) => bigint;

  map<M extends BpfMap>(name: string): M {
    return this.maps[name] as M;
  }

  close(): void {}
}

class Interpreted extends Local {
  readonly name = 'interp';
  readonly #binding = this.binding();
  protected prepare(program: ProgramSpec, maps: MapBinding): (ctx: number) => bigint {
    return ctx => interpret(program, { arena: this.arena, core: this.core, ctx, maps }).r0;
  }
  protected call(ctx: number): bigint {
    return interpret(this.program, { arena: this.arena, core: this.core, ctx, maps: this.#binding }).r0;
  }
}

class Compiled extends Local {
  readonly name = 'jit';
  readonly #exports: ProgramExports;
  constructor(object: CollectionSpec, program: ProgramSpec) {
    super(object, program);
    const compiled = compileProgram(verify(program), this.binding());
    this.#exports = instantiateProgram(compiled, this.core, this.arena, 100)
      .exports as unknown as ProgramExports;
  }
  protected prepare(program: ProgramSpec, maps: MapBinding): (ctx: number) => bigint {
    const compiled = compileProgram(verify(program), maps);
    const instance = instantiateProgram(compiled, this.core, this.arena, 200);
    const { run } = instance.exports as unknown as ProgramExports;
    return run;
  }
  protected call(ctx: number): bigint {
    return this.#exports.run(ctx);
  }
}

class InKernel implements ProgramEngine {
  readonly name = 'kernel';
  readonly #collection: KernelCollection;
  constructor(
    object: CollectionSpec,
    readonly program: ProgramSpec,
  ) {
    this.#collection = KernelCollection.load(object, { programs: [program.name], log: 'none' });
  }
  run(data: Uint8Array): Verdict {
    const { retval, dataOut } = this.#collection.program(this.program.name).testRun({ data });
    return { retval, data: dataOut };
  }
  contents(name: string): Map<string, unknown> {
    const map = this.#collection.maps[name];
    const found = new Map<string, unknown>();
    if (map.spec.keySize === 0) return found;
    for (const key of map.keys()) {
      const value = map.lookup(key);
      if (value) found.set(text(decode(map.spec, 'keyId', key)), total(map.spec, value));
    }
    return found;
  }
  set(name: string, key: unknown, value: unknown): void {
    const map = this.#collection.maps[name];
    map.update(encode(map.spec, 'keyId', key), encode(map.spec, 'valueId', value));
  }
  close(): void {
    this.#collection.close();
  }
}

/** The engines for one program of an object, maps filled from its configuration. */
export function programEngines(
  name: string,
  options: { program?: string; kernel: boolean; config?: MapConfig } = { kernel: false },
): { interp: Interpreted; jit: Compiled; kernel?: InKernel; all: ProgramEngine[]; close(): void } {
  const config = options.config ?? configOf(name);
  const configured = (): CollectionSpec => {
    const object = loadObject(name);
    configureGlobals(object, config);
    return object;
  };
  const object = configured();
  const program = object.programs[options.program ?? name];
  const interp = new Interpreted(object, program);
  const jit = new Compiled(object, program);
  const kernel = options.kernel ? new InKernel(configured(), program) : undefined;
  const all: ProgramEngine[] = kernel ? [interp, jit, kernel] : [interp, jit];
  for (const engine of all) fill(engine, object, config);
  return { interp, jit, kernel, all, close: () => all.forEach(e => void e.close()) };
}

/** Contents of a map as one text, without times (fields that end in `_ns`), which no two runs share. */
export function mapText(engine: ProgramEngine, map: string): string {
  const timeless = (_: string, value: unknown): unknown =>
    typeof value === 'bigint'
      ? `${value}`
      : value && typeof value === 'object' && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).filter(([k]) => !k.endsWith('_ns')))
        : value;
  return [...engine.contents(map)]
    .map(([key, value]) => `${key} = ${JSON.stringify(value, timeless)}`)
    .sort()
    .join('\n');
}
