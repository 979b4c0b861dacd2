/**
 * What is said over the control socket of an engine: a line of JSON each way. Bounded in every direction, and what is wrong
 * with a request is answered, not guessed at.
 *
 *   {"id":1,"method":"upgrade","params":{"transport":"tcp","object":"/srv/tcp2.bpf.o","probationMs":5000}}
 *   {"id":1,"result":{…}}        {"id":1,"error":{"code":"ERR_UPGRADE_LAYOUT","message":"…"}}
 */
import { EtherloomError } from '../errors.js';
import { JsonReader, parseJson } from '../json.js';
import type { UpgradeOptions } from './transports.js';

/** Longest line, bytes. */
export const MAX_LINE = 64 << 10;
/** Longest `id`, characters. */
const MAX_ID = 128;
const MAX_NAME = 256;
const MAX_PATH = 4096;
const MAX_FRESH = 64;
const MOST_MS = 3_600_000;

export type ControlRequest = { id: string | number } & (
  | { method: 'list' }
  | { method: 'about' }
  | { method: 'upgrade'; transport: string; object: string; options: UpgradeOptions }
);

const METHODS = ['list', 'about', 'upgrade'] as const;
const CODES = {
  value: 'ERR_CONTROL_REQUEST',
  member: 'ERR_CONTROL_REQUEST',
  hex: 'ERR_CONTROL_REQUEST',
};
const reader = new JsonReader(undefined, CODES);

/** A request that cannot be read, with its id when that could. */
export class ControlError extends EtherloomError {
  constructor(
    cause: EtherloomError,
    readonly id: string | number | null,
  ) {
    super(cause.code, cause.message, { cause });
  }
}

/** Reads one line. @throws ControlError ERR_CONTROL_JSON, ERR_CONTROL_REQUEST, ERR_CONTROL_METHOD */
export function parseRequest(line: string): ControlRequest {
  let id: string | number | null = null;
  try {
    const file = 'the request';
    const json = parseJson(line, { file, code: 'ERR_CONTROL_JSON', expected: 'a JSON object on one line' });
    const request = reader.object(json, '', ['id', 'method', 'params']);
    id = idOf(reader.member(request, 'id'));
    const method = reader.member(request, 'method');
    const params = reader.member(request, 'params') ?? {};
    switch (method) {
      case 'list':
      case 'about':
        reader.object(params, 'params', []);
        return { id, method };
      case 'upgrade':
        return { id, method, ...upgradeOf(params) };
      default:
        throw reader.fail(
          'method',
          reader.show(method),
          `one of ${METHODS.join(', ')}`,
          'ERR_CONTROL_METHOD',
        );
    }
  } catch (cause) {
    if (cause instanceof EtherloomError) throw new ControlError(cause, id);
    throw cause;
  }
}

function idOf(value: unknown): string | number {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  if (typeof value === 'string' && value.length <= MAX_ID) return value;
  throw reader.fail('id', reader.show(value), `a whole number, or a string of at most ${MAX_ID} characters`);
}

function upgradeOf(value: unknown): { transport: string; object: string; options: UpgradeOptions } {
  const members = ['transport', 'object', 'fresh', 'probationMs', 'baselineMs'];
  const params = reader.object(value, 'params', members);
  const text = (name: string, most: number): string => {
    const found = reader.optional(params, name, 'params', 'string');
    if (found !== undefined && found.length > 0 && found.length <= most && !found.includes('\0'))
      return found;
    throw reader.fail(`params.${name}`, reader.show(found), `a string of 1 to ${most} characters`);
  };
  const transport = text('transport', MAX_NAME);
  const object = text('object', MAX_PATH);
  if (!object.startsWith('/'))
    throw reader.fail(
      'params.object',
      reader.show(object),
      'a path from / on: the engine has its own folder',
    );
  const options: { -readonly [K in keyof UpgradeOptions]: UpgradeOptions[K] } = {};
  const fresh = reader.list(reader.member(params, 'fresh'), 'params.fresh', (item, path) => {
    if (typeof item === 'string' && item.length <= MAX_NAME) return item;
    throw reader.fail(path, reader.show(item), 'the name of a map');
  });
  if (fresh && fresh.length > MAX_FRESH)
    throw reader.fail('params.fresh', `${fresh.length} names`, `at most ${MAX_FRESH}`);
  if (fresh) options.fresh = fresh;
  for (const name of ['probationMs', 'baselineMs'] as const) {
    const ms = reader.member(params, name);
    if (ms !== undefined) options[name] = reader.inRange(ms, `params.${name}`, { least: 1, most: MOST_MS });
  }
  if (options.baselineMs !== undefined && options.probationMs === undefined)
    throw reader.fail('params.baselineMs', reader.show(options.baselineMs), 'probationMs beside it');
  return { transport, object, options };
}

/** A line that says how a request went. */
export const answer = (id: string | number | null, result: unknown): string =>
  `${JSON.stringify({ id, result })}\n`;

export function refusal(id: string | number | null, error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  return `${JSON.stringify({ id, error: { code: code ?? 'ERR_CONTROL', message: String(message ?? error) } })}\n`;
}

/** Lines out of pieces of a stream. What is longer than MAX_LINE is told by `undefined`, once: nothing can follow it. */
export class Lines {
  #rest: Buffer[] = [];
  #bytes = 0;
  #over = false;

  /** Lines that are whole by now, each when it is asked for: there may be many in a piece. */
  *take(piece: Buffer): Generator<string | undefined, void, undefined> {
    let from = 0;
    while (!this.#over) {
      const end = piece.indexOf(10, from);
      const part = piece.subarray(from, end < 0 ? piece.length : end);
      if (this.#bytes + part.length > MAX_LINE) {
        this.#over = true;
        this.#rest = [];
        yield undefined;
        return;
      }
      this.#rest.push(part);
      this.#bytes += part.length;
      if (end < 0) return;
      const line = Buffer.concat(this.#rest).toString('utf8');
      this.#rest = [];
      this.#bytes = 0;
      from = end + 1;
      yield line;
    }
  }
}
