/** Map errors: one code per errno, so that what a program sees as -E2BIG a host sees as ERR_MAP_E2BIG. */
import { type ErrorPlace, EtherloomError } from '../../errors.js';

/** errno values that maps return (Linux numbers). */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  E2BIG: 7,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ENOTSUPP: 524,
} as const;
export type ErrnoName = keyof typeof Errno;

const NAMES = new Map<number, ErrnoName>(Object.entries(Errno).map(([k, v]) => [v, k as ErrnoName]));

export class MapError extends EtherloomError {
  /** Positive errno, as the kernel would return it negated. */
  readonly errno: number;

  constructor(errno: ErrnoName, message: string, place: ErrorPlace = {}) {
    super(`ERR_MAP_${errno}`, message, place);
    this.name = 'MapError';
    this.errno = Errno[errno];
  }
}

/** Throws when `result` is a negative errno. */
export function check(result: bigint, doing: () => string): void {
  if (result >= 0n) return;
  const name = NAMES.get(Number(-result)) ?? 'EINVAL';
  throw new MapError(name, `${doing()}: ${MEANING[name]}`);
}

const MEANING: Record<ErrnoName, string> = {
  EPERM: 'not permitted',
  ENOENT: 'no such key',
  E2BIG: 'the map is full, or the index is past its end',
  EAGAIN: 'try again',
  ENOMEM: 'no memory',
  EACCES: 'access denied',
  EBUSY: 'busy',
  EEXIST: 'the key is there already',
  ENODEV: 'no such device',
  EINVAL: 'invalid argument',
  ENOSPC: 'no space left',
  EOVERFLOW: 'value too large',
  EOPNOTSUPP: 'not supported by this map type',
  ENOTSUPP: 'not supported',
};
