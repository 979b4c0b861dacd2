/**
 * The one error class of the engine: a stable code, where it happened, what was expected.
 * Thrown by every host-side part; hot-path code in `assembly/` returns result codes instead.
 */
export interface ErrorPlace {
  /** File name or label of the input that was read. */
  file?: string;
  /** Byte offset inside that input, or instruction index for programs. */
  offset?: number;
  /** Path of the member inside a JSON input, as in `maps.3.key`; "" is the whole. The message begins with it. */
  path?: string | undefined;
  /** What a valid input would have had there. */
  expected?: string;
  cause?: unknown;
}

export class EtherloomError extends Error {
  /** Stable, greppable: `ERR_<PART>_<WHAT>`. */
  readonly code: string;
  readonly file: string | undefined;
  readonly offset: number | undefined;
  readonly path: string | undefined;
  readonly expected: string | undefined;

  constructor(code: string, message: string, place: ErrorPlace = {}) {
    const where = [
      place.file,
      place.offset === undefined ? undefined : `offset ${place.offset} (0x${place.offset.toString(16)})`,
    ]
      .filter(Boolean)
      .join(', ');
    const expected = place.expected ? `; expected ${place.expected}` : '';
    super(`${message}${where ? ` [${where}]` : ''}${expected}`, { cause: place.cause });
    this.name = 'EtherloomError';
    this.code = code;
    this.file = place.file;
    this.offset = place.offset;
    this.path = place.path;
    this.expected = place.expected;
  }
}
