/** Reads what a user names: a compiled object or a SPEC.json. The first bytes decide, not the file's name. */
import { EtherloomError } from '../errors.js';
import { readRegular } from '../files.js';
import { loadElf } from './elf/load.js';
import { isRunnable } from './program_types.js';
import type { CollectionSpec, MapSpec, ProgramSpec } from './spec.js';
import { parseSpecJson } from './spec_json.js';

const ELF_MAGIC = 0x7f454c46;
/** Longest object or spec, bytes: nothing that is a program comes near. */
export const MAX_OBJECT_BYTES = 256 << 20;

/** @param read its bytes, for who has them. @throws EtherloomError ERR_FILE_READ, ERR_FILE_KIND, and whatever the readers of the two forms throw */
export function openObject(path: string, read?: Buffer): CollectionSpec {
  let bytes: Buffer;
  try {
    bytes = read ?? readRegular(path, MAX_OBJECT_BYTES);
  } catch (cause) {
    if (cause instanceof EtherloomError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new EtherloomError('ERR_FILE_READ', `cannot read it: ${code}`, {
      file: path,
      cause,
      expected: 'a readable file',
    });
  }
  if (bytes.length >= 4 && bytes.readUInt32BE(0) === ELF_MAGIC) return loadElf(bytes, path);
  const text = bytes.toString('utf8');
  if (text.trimStart().startsWith('{')) return collectionOf(parseSpecJson(text, path), path);
  throw new EtherloomError('ERR_FILE_KIND', 'neither an ELF object nor a JSON spec', {
    file: path,
    offset: 0,
    expected: '0x7f "ELF", or {',
  });
}

/** A collection of one program. */
export function collectionOf(program: ProgramSpec, file: string): CollectionSpec {
  const maps: Record<string, MapSpec> = {};
  for (const map of Object.values(program.maps)) maps[map.name] = map;
  return { file, license: program.license, programs: { [program.name]: program }, maps, btf: program.btf };
}

/**
 * The program that a user means: by name, else the only one, else the first that can be verified here.
 * @throws EtherloomError ERR_PROGRAM_NAME
 */
export function chooseProgram(collection: CollectionSpec, name?: string): ProgramSpec {
  const names = Object.keys(collection.programs);
  if (name !== undefined) {
    if (!Object.hasOwn(collection.programs, name))
      throw new EtherloomError('ERR_PROGRAM_NAME', `no program "${name}"`, {
        file: collection.file,
        expected: names.length ? `one of ${names.join(', ')}` : 'an object with programs',
      });
    return collection.programs[name];
  }
  const known = names.find(n => isRunnable(collection.programs[n].type)) ?? names[0];
  if (known === undefined)
    throw new EtherloomError('ERR_PROGRAM_NAME', 'the object holds no program', { file: collection.file });
  return collection.programs[known];
}
