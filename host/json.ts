/**
 * Reading a JSON document that a user wrote: every look at a value says where it stands (`maps.3.key`), what was found
 * there and what was expected. Readers of one format extend it (bpf/spec_json_reader.ts, bpf/config.ts, forward/config.ts).
 */
import { EtherloomError } from './errors.js';
import { readRegular } from './files.js';
import { jsonMistake, jsonTwice } from './json_syntax.js';

export type JsonObject = Record<string, unknown>;

const U32_MAX = 0xffff_ffff;
/** Longest piece of a document in a message. */
const SHOWN = 60;

/** Codes of what is wrong: in general, with the members of an object, with digits. */
export interface JsonCodes {
  readonly value: string;
  readonly member: string;
  readonly hex: string;
}

/** What a number may be. */
export interface NumberRange {
  readonly least: number;
  readonly most: number;
  /** Fractions are fine. */
  readonly fraction?: boolean;
}
const U32: NumberRange = { least: 0, most: U32_MAX };

/** Longest JSON file, bytes: a map of a million entries has some 100. */
const MAX_JSON = 256 << 20;

/**
 * JSON.parse whose error has the code given, and says where. A member that stands twice is an error as well: JSON.parse
 * takes the last without a word.
 * @throws EtherloomError
 */
export function parseJson(text: string, from: { file: string; code: string; expected: string }): unknown {
  const { file, code, expected } = from;
  const offsetOf = (at: number | undefined): number => Buffer.byteLength(text.slice(0, at));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const offset = offsetOf(jsonMistake(text));
    throw new EtherloomError(code, `no JSON: ${(cause as Error).message}`, { file, offset, expected, cause });
  }
  const twice = jsonTwice(text);
  if (twice)
    throw new EtherloomError(code, `the member ${JSON.stringify(twice.name)} stands twice in one object`, {
      file,
      offset: offsetOf(twice.at),
      expected: 'each member once',
    });
  return value;
}

/**
 * A file with one JSON value.
 * @throws EtherloomError ERR_FILE_KIND for what is no regular file; ERR_CONFIG_READ when there is none, or it is no JSON
 */
export function readJson(file: string): unknown {
  const expected = 'a readable JSON file';
  let text: string;
  try {
    text = readRegular(file, MAX_JSON).toString('utf8');
  } catch (cause) {
    if (cause instanceof EtherloomError) throw cause;
    throw new EtherloomError('ERR_CONFIG_READ', (cause as Error).message, { file, cause, expected });
  }
  return parseJson(text, { file, code: 'ERR_CONFIG_READ', expected });
}

export class JsonReader {
  constructor(
    readonly file: string | undefined,
    private readonly codes: JsonCodes,
  ) {}

  /**
   * An object that has only these members. `elsewhere` names what others call them, for the message.
   * A misspelt optional member would otherwise be taken for one that is not there.
   */
  object(
    value: unknown,
    path: string,
    members?: readonly string[],
    elsewhere: Readonly<Record<string, string>> = {},
  ): JsonObject {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.fail(path, this.show(value), members ? `an object of ${members.join(', ')}` : 'an object');
    for (const name of members ? Object.keys(value) : []) {
      if (members!.includes(name)) continue;
      const ours = Object.hasOwn(elsewhere, name) ? `"${elsewhere[name]}" for it, ` : '';
      throw this.fail(
        this.join(path, name),
        'an unknown member',
        `${ours}one of ${members!.join(', ')}`,
        this.codes.member,
      );
    }
    return value as JsonObject;
  }

  /** A member of the object itself, undefined when it is not there. */
  member(json: JsonObject, name: string): unknown {
    return Object.hasOwn(json, name) ? json[name] : undefined;
  }

  optional<T extends 'string' | 'boolean'>(
    json: JsonObject,
    name: string,
    path: string,
    type: T,
  ): (T extends 'string' ? string : boolean) | undefined {
    const value = this.member(json, name);
    if (value === undefined) return undefined;
    if (typeof value !== type) throw this.fail(this.join(path, name), this.show(value), `a ${type}`);
    return value as T extends 'string' ? string : boolean;
  }

  /** A u32. Without it `fallback`; without that, it must be there. */
  number(json: JsonObject, name: string, path: string, fallback?: number): number {
    return this.inRange(this.member(json, name) ?? fallback, this.join(path, name), U32);
  }

  inRange(value: unknown, path: string, { least, most, fraction = false }: NumberRange): number {
    if (typeof value === 'number' && value >= least && value <= most && (fraction || Number.isInteger(value)))
      return value;
    throw this.fail(path, this.show(value), `a ${fraction ? '' : 'whole '}number, ${least}–${most}`);
  }

  list<T>(value: unknown, path: string, read: (item: unknown, path: string) => T): T[] | undefined {
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) throw this.fail(path, this.show(value), 'a list');
    return value.map((item, i) => read(item, `${path}[${i}]`));
  }

  /** Hex digits, white space and line ends anywhere between them. */
  hex(value: unknown, path: string): Uint8Array {
    if (typeof value !== 'string') throw this.fail(path, this.show(value), 'a string of hex digits');
    const digits = value.replaceAll(/\s+/g, '');
    const bad = /[^0-9a-fA-F]/.exec(digits);
    if (bad)
      throw this.fail(
        path,
        `"${bad[0]}" after ${bad.index} digits`,
        'hex digits and white space',
        this.codes.hex,
      );
    if (digits.length % 2) throw this.fail(path, `${digits.length} digits`, 'two a byte', this.codes.hex);
    return Uint8Array.from(Buffer.from(digits, 'hex'));
  }

  join(path: string, name: string): string {
    return path ? `${path}.${name}` : name;
  }

  show(value: unknown): string {
    if (value === undefined) return 'nothing';
    const text = written(value);
    return text.length > SHOWN ? `${text.slice(0, SHOWN - 3)}…` : text;
  }

  fail(path: string, found: string, expected: string, code = this.codes.value): EtherloomError {
    const where = path || 'the document';
    return new EtherloomError(code, `${where}: ${found}`, { file: this.file, path, expected });
  }
}

/** JSON.parse takes any depth, JSON.stringify only what the stack holds. */
function written(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return Array.isArray(value) ? 'a list, deeply nested' : 'an object, deeply nested';
  }
}
