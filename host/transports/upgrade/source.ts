/**
 * What a transport's programs are read from: an object's file, its bytes, or a spec that somebody opened. The key says
 * whether two of them are the same, so that what was verified and compiled once serves again.
 */
import { createHash } from 'node:crypto';
import { loadElf } from '../../bpf/elf/load.js';
import { MAX_OBJECT_BYTES, openObject } from '../../bpf/open.js';
import type { CollectionSpec, MapSpec, ProgramSpec } from '../../bpf/spec.js';
import { fingerprint } from '../../bpf/verify/remembered.js';
import type { ObjectSource } from '../../engine/transports.js';
import { EtherloomError } from '../../errors.js';
import { readRegular } from '../../files.js';

export interface OpenedSource {
  /** What people are told. */
  readonly label: string;
  readonly key: string;
  /** Reads it. Nobody else has what it returns. */
  open(): CollectionSpec;
}

/** @throws EtherloomError ERR_FILE_READ, ERR_UPGRADE_OBJECT */
export function openSource(source: ObjectSource): OpenedSource {
  if (typeof source === 'string') {
    let bytes: Buffer;
    try {
      bytes = readRegular(source, MAX_OBJECT_BYTES);
    } catch (cause) {
      if (cause instanceof EtherloomError) throw cause;
      const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
      throw new EtherloomError('ERR_FILE_READ', `cannot read it: ${code}`, {
        ...{ file: source, cause },
        expected: 'a readable file',
      });
    }
    return { label: source, key: digest(bytes), open: () => openObject(source, bytes) };
  }
  if (source instanceof Uint8Array) {
    const label = `${source.length} bytes`;
    const bytes = source.slice();
    return { label, key: digest(bytes), open: () => loadElf(bytes, label) };
  }
  if (typeof source !== 'object' || source === null || typeof source.programs !== 'object')
    throw new EtherloomError('ERR_UPGRADE_OBJECT', `objects: ${source === null ? 'null' : typeof source}`, {
      expected: 'the path of a .bpf.o, its bytes, or what openObject() returned',
    });
  const spec = copyOf(source);
  const programs = Object.values(spec.programs).map(p => fingerprint(p) ?? `${Math.random()}`);
  return { label: spec.file, key: programs.join(' '), open: () => copyOf(spec) };
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64');

/** A spec whose maps can be changed without anybody else's being so. Code and types are shared. */
export function copyOf(spec: CollectionSpec): CollectionSpec {
  const copies = new Map<MapSpec, MapSpec>();
  const copy = (map: MapSpec): MapSpec => {
    let made = copies.get(map);
    if (!made) {
      made = { ...map };
      if (map.contents) made.contents = map.contents.slice();
      if (map.values) made.values = map.values.map(v => ({ ...v }));
      copies.set(map, made);
    }
    return made;
  };
  const mapped = <T, U>(of: Readonly<Record<string, T>>, make: (one: T) => U): Record<string, U> =>
    Object.fromEntries(Object.entries(of).map(([name, one]) => [name, make(one)]));
  const program = (p: ProgramSpec): ProgramSpec => ({ ...p, maps: mapped(p.maps, copy) });
  return { ...spec, maps: mapped(spec.maps, copy), programs: mapped(spec.programs, program) };
}
