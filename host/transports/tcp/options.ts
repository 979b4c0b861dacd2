/**
 * Options of a connection: what people write, checked, as `struct tcp_options` has it (bpf-progs/transports/tcp/options.h).
 * An option that is not given keeps what was: the stack's default, the listener's, or what was set before.
 */
import { EtherloomError } from '../../errors.js';
import { CC_USERS, CcAlgorithm } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';

export interface ConnectionOptions {
  /** Send small segments at once, without Nagle's algorithm. Default false. */
  noDelay?: boolean;
  /** Full segments only, or 200 ms. Default false. */
  cork?: boolean;
  /**
   * Ask a peer that says nothing whether it is there. Default false; true: with Linux's times. Hosts answer such questions
   * twice a second at most: from the last sign of life to the last question must be 600 ms, idleMs + (probes - 1) * intervalMs.
   */
  keepAlive?: boolean | KeepAlive;
  /** How long data may stay unacknowledged, ms (RFC 5482). Default 0: by the number of retries. */
  userTimeoutMs?: number;
  /**
   * Congestion control, by name or by the number of one's own (registerCongestion). Default cubic. `dctcp` and `dctcp-rate`
   * ask for ECN, unless `ecn` says otherwise.
   */
  congestion?: CongestionName | number;
  /** Spread packets over the round trip, also where congestion control does not ask for it. Default false. */
  pacing?: boolean;
  /** Most bytes per second; 0, the default: no limit. */
  maxRate?: number;
  /**
   * Ring for what is sent and not acknowledged, bytes: the next power of two, at most 16 MiB, from the start if there is
   * memory. Default: 16 KiB that grow to 4 MiB. Not of a live connection.
   */
  sendBuffer?: number;
  /** The same for what was received and not read; the window is what is free of it. Default 4 MiB. Not of a live connection. */
  receiveBuffer?: number;
  /** Largest segment, bytes of payload and options; 0, the default: what path and peer take. */
  mss?: number;
  /** ECN: ask for it, agree when asked (the default), or neither. */
  ecn?: 'on' | 'accept' | 'off';
  /** RFC 7323 timestamps. Default true. */
  timestamps?: boolean;
  /** RFC 2018. Default true. */
  sack?: boolean;
  /** RFC 2883. Default true. */
  dsack?: boolean;
  /** RFC 7323 window scaling. Default true. */
  windowScaling?: boolean;
  /** Default true; false: every segment is acknowledged at once. */
  delayedAck?: boolean;
  /** Longest that an acknowledgment waits, µs. Default 40,000. */
  delackUs?: number;
  /** Least retransmission timeout, µs. Default 200,000. */
  minRtoUs?: number;
  /** How long FIN_WAIT2 lasts when nobody waits in it, ms. Default 60,000. */
  finTimeoutMs?: number;
  /** Times that a SYN is repeated. Default 6. */
  synRetries?: number;
  /** Of a SYN-ACK. Default 5. */
  synAckRetries?: number;
  /** Of data. Default 15. */
  retries?: number;
  /** TOS or traffic class; its two ECN bits are the transport's. Default 0. */
  tos?: number;
  /** TTL or hop limit. Default 64. */
  ttl?: number;
  /** Segments of the first window. Default 10. */
  initialCwnd?: number;
  /** Path MTU: by ICMP and in black holes (the default), by probing from the start (RFC 4821), or fragments allowed. */
  pathMtu?: 'discover' | 'probe' | 'off';
  /** Of a listener: SYN cookies when too many handshakes are under way (the default), for all, or never. */
  synCookies?: 'auto' | 'always' | 'never';
  /** Tail loss probes, RFC 8985 §7. Default true. */
  tlp?: boolean;
  /** Spurious timeouts found out, RFC 5682. Default true. */
  frto?: boolean;
  /** A small window after a pause, RFC 5681 §4.1. Default true. */
  idleRestart?: boolean;
}

export interface KeepAlive {
  /** Silence before the first probe, ms. Default 7,200,000. */
  idleMs?: number;
  /** Between probes. Default 75,000. */
  intervalMs?: number;
  /** Without an answer the connection ends. Default 9. */
  probes?: number;
}

const CONGESTION = {
  reno: CcAlgorithm.RENO,
  cubic: CcAlgorithm.CUBIC,
  dctcp: CcAlgorithm.DCTCP,
  'dctcp-rate': CcAlgorithm.DCTCP_RATE,
  timely: CcAlgorithm.TIMELY,
  bbr: CcAlgorithm.BBR,
} as const;
export type CongestionName = keyof typeof CONGESTION;
/** First number of congestion control that a user brings. */
const FIRST_OWN = CcAlgorithm.USER;
/** Those that are nothing without marks. */
const NEED_ECN: readonly number[] = [CcAlgorithm.DCTCP, CcAlgorithm.DCTCP_RATE];
/**
 * A host answers segments that it does not take, such as keepalive's questions, once in 500 ms (RFC 5961 §5, Linux's
 * tcp_invalid_ratelimit, and our own programs). Questions that all fall into that time end a connection whose peer is
 * there. With 100 ms for what the network does to their distance.
 */
const KEEP_LEAST_MS = 600;
/** Of `struct tcp_options` when it says 0. */
const KEEP_DEFAULT = { keep_idle_ms: 7_200_000, keep_interval_ms: 75_000, keep_probes: 9 } as const;

/** enum tcp_option_flag. */
export const OPTION_FLAG = {
  NODELAY: 1,
  CORK: 2,
  KEEPALIVE: 4,
  ECN: 8,
  NO_ECN: 16,
  NO_TIMESTAMPS: 32,
  NO_SACK: 64,
  NO_WSCALE: 128,
  NO_DELACK: 256,
  PACE: 512,
  NO_PMTUD: 1024,
  PROBE_MTU: 2048,
  NO_TLP: 4096,
  COOKIES: 8192,
  NO_COOKIES: 16384,
  NO_IDLE_RESTART: 32768,
  NO_DSACK: 65536,
  NO_FRTO: 131072,
  NO_ACK_LIMIT: 262144,
} as const;

/** `struct tcp_options` by its fields. */
export type OptionWords = Record<string, number>;

/** Options that are one bit: the bit, and what the option is when the bit is set. */
const BITS: Partial<Record<keyof ConnectionOptions, { bit: number; when: boolean }>> = {
  noDelay: { bit: OPTION_FLAG.NODELAY, when: true },
  cork: { bit: OPTION_FLAG.CORK, when: true },
  pacing: { bit: OPTION_FLAG.PACE, when: true },
  timestamps: { bit: OPTION_FLAG.NO_TIMESTAMPS, when: false },
  sack: { bit: OPTION_FLAG.NO_SACK, when: false },
  dsack: { bit: OPTION_FLAG.NO_DSACK, when: false },
  windowScaling: { bit: OPTION_FLAG.NO_WSCALE, when: false },
  delayedAck: { bit: OPTION_FLAG.NO_DELACK, when: false },
  tlp: { bit: OPTION_FLAG.NO_TLP, when: false },
  frto: { bit: OPTION_FLAG.NO_FRTO, when: false },
  idleRestart: { bit: OPTION_FLAG.NO_IDLE_RESTART, when: false },
};

/** Options that are a choice: the bits of each. */
const CHOICES: Partial<Record<keyof ConnectionOptions, Record<string, number>>> = {
  ecn: { accept: 0, on: OPTION_FLAG.ECN, off: OPTION_FLAG.NO_ECN },
  pathMtu: { discover: 0, probe: OPTION_FLAG.PROBE_MTU, off: OPTION_FLAG.NO_PMTUD },
  synCookies: { auto: 0, always: OPTION_FLAG.COOKIES, never: OPTION_FLAG.NO_COOKIES },
};

/** Options that are a number: the field, and the range. */
const NUMBERS: Record<string, { field: string; least?: number; most: number }> = {
  userTimeoutMs: { field: 'user_timeout_ms', most: 2 ** 31 - 1 },
  maxRate: { field: 'rate', most: 2 ** 32 - 1 },
  sendBuffer: { field: 'snd_bytes', least: 1, most: 16 << 20 },
  receiveBuffer: { field: 'rcv_bytes', least: 1, most: 16 << 20 },
  mss: { field: 'mss', most: 65535 },
  delackUs: { field: 'delack_us', most: 500_000 },
  minRtoUs: { field: 'min_rto_us', most: 120_000_000 },
  finTimeoutMs: { field: 'fin_timeout_ms', most: 2 ** 31 - 1 },
  synRetries: { field: 'syn_retries', most: 127 },
  synAckRetries: { field: 'synack_retries', most: 127 },
  retries: { field: 'retries', most: 127 },
  tos: { field: 'tos', most: 255 },
  ttl: { field: 'ttl', most: 255 },
  initialCwnd: { field: 'initial_cwnd', most: 255 },
  'keepAlive.idleMs': { field: 'keep_idle_ms', most: 2 ** 31 - 1 },
  'keepAlive.intervalMs': { field: 'keep_interval_ms', most: 2 ** 31 - 1 },
  'keepAlive.probes': { field: 'keep_probes', most: 127 },
};

const KNOWN = [
  ...Object.keys(BITS),
  ...Object.keys(CHOICES),
  ...Object.keys(NUMBERS),
  'keepAlive',
  'congestion',
].filter(name => !name.includes('.'));

/** Fixed when the rings are made. */
const NOT_LIVE = ['sendBuffer', 'receiveBuffer'] as const;

function refuse(path: string, value: unknown, expected: string): never {
  throw new EtherloomError('ERR_TCP_OPTIONS', `${path}: ${shown(value)}`, { expected });
}

const shown = (value: unknown): string => (typeof value === 'string' ? `"${value}"` : String(value));

/**
 * `words` with what `options` say; `words` stay as they are. @param live of a connection that has its rings
 * @throws EtherloomError ERR_TCP_OPTIONS that names option, value, and what was expected
 */
export function applyOptions(words: OptionWords, options: ConnectionOptions = {}, live = false): OptionWords {
  if (typeof options !== 'object' || options === null) refuse('options', options, 'an object');
  const out = { ...words };
  let flags = out.flags ?? 0;
  const bit = (mask: number, on: boolean): void => {
    flags = on ? flags | mask : flags & ~mask;
  };
  const number = (path: string, value: unknown): void => {
    const { field, least = 0, most } = NUMBERS[path];
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
      refuse(path, value, `a whole number from ${least} to ${most}`);
    out[field] = value as number;
  };
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const key = name as keyof ConnectionOptions;
    if (live && NOT_LIVE.includes(key as 'sendBuffer'))
      refuse(name, value, 'it when the connection is made: rings do not change their size');
    // `constructor` is a member of every object, and no option.
    const one = Object.hasOwn(BITS, name) ? BITS[key] : undefined;
    const choices = Object.hasOwn(CHOICES, name) ? CHOICES[key] : undefined;
    if (one) {
      if (typeof value !== 'boolean') refuse(name, value, 'true or false');
      bit(one.bit, value === one.when);
    } else if (choices) {
      if (typeof value !== 'string' || !Object.hasOwn(choices, value))
        refuse(name, value, Object.keys(choices).join(', '));
      for (const bits of Object.values(choices)) flags &= ~bits;
      flags |= choices[value];
    } else if (Object.hasOwn(NUMBERS, name)) number(name, value);
    else if (key === 'congestion') out.algorithm = algorithmOf(value);
    else if (key === 'keepAlive') {
      if (typeof value !== 'boolean' && (typeof value !== 'object' || value === null))
        refuse(name, value, 'true, false, or { idleMs, intervalMs, probes }');
      bit(OPTION_FLAG.KEEPALIVE, value !== false);
      for (const [part, n] of Object.entries(typeof value === 'object' ? value : {})) {
        if (!Object.hasOwn(NUMBERS, `keepAlive.${part}`))
          refuse(`keepAlive.${part}`, n, 'idleMs, intervalMs, probes');
        if (n !== undefined) number(`keepAlive.${part}`, n);
      }
    } else refuse(name, value, `options among ${KNOWN.join(', ')}`);
  }
  if (options.congestion !== undefined && options.ecn === undefined && NEED_ECN.includes(out.algorithm))
    if ((flags & OPTION_FLAG.NO_ECN) === 0) flags |= OPTION_FLAG.ECN;
  out.flags = flags;
  if (flags & OPTION_FLAG.KEEPALIVE) checkKeepAlive(out);
  return out;
}

function checkKeepAlive(words: OptionWords): void {
  const of = (field: keyof typeof KEEP_DEFAULT): number => words[field] || KEEP_DEFAULT[field];
  const [idle, interval, probes] = [of('keep_idle_ms'), of('keep_interval_ms'), of('keep_probes')];
  if (idle + (probes - 1) * interval >= KEEP_LEAST_MS) return;
  throw new EtherloomError(
    'ERR_TCP_OPTIONS',
    `keepAlive: { idleMs: ${idle}, intervalMs: ${interval}, probes: ${probes} }`,
    {
      expected: `idleMs + (probes - 1) * intervalMs of at least ${KEEP_LEAST_MS} ms: a peer answers one probe in 500 ms`,
    },
  );
}

/** Refuses a number of congestion control that nothing is registered under. @throws EtherloomError ERR_TCP_OPTIONS */
export function checkCongestion(arena: Arena, { congestion }: ConnectionOptions): void {
  if (typeof congestion !== 'number' || congestion < FIRST_OWN) return;
  if (arena.header.ccOps(congestion - FIRST_OWN) === 0)
    refuse('congestion', congestion, 'a number that registerCongestion() gave, and that is not given back');
}

function algorithmOf(value: unknown): number {
  if (typeof value === 'string' && Object.hasOwn(CONGESTION, value))
    return CONGESTION[value as CongestionName];
  const own =
    Number.isInteger(value) && (value as number) >= FIRST_OWN && (value as number) < FIRST_OWN + CC_USERS;
  if (own || Object.values(CONGESTION).includes(value as 0)) return value as number;
  return refuse(
    'congestion',
    value,
    `${Object.keys(CONGESTION).join(', ')}, or a number from ${FIRST_OWN} to ${FIRST_OWN + CC_USERS - 1}`,
  );
}
