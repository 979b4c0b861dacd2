/**
 * The script's end of one connection: makes segments out of relative numbers, takes what the host sends and compares
 * it. Sequence numbers count from the initial one of either side: SYN is 0, the first byte is 1. What a script does not
 * say has the value that a plain peer would send, or that a host must send: `flow.next` and `flow.theirs`.
 */

import { TcpFlag } from '../../../host/wire/layout.gen.js';
import type { Arrival, Host, Moment } from './driver.js';
import { brokenRules } from './rules.js';
import {
  type Damage,
  type Decoded,
  encode,
  flagBits,
  flagWords,
  type Options,
  type Segment,
} from './segment.js';
import { outText, seenText, wantedText } from './text.js';
import { type Difference, differenceLines, placeOf, ScriptFailure, type Transcript } from './transcript.js';
import { any, matches, oneOf, type Want, wantText } from './want.js';

const WORD = 0x100000000;
export const wrap = (n: number): number => ((n % WORD) + WORD) % WORD;
/** Distance from `base`, as a signed 32-bit number. */
export const relative = (n: number, base: number): number => (wrap(n - base) ^ 0) | 0;

/** The byte that a peer sends at a position of its stream, and the one that the application writes at one. */
export const peerByte = (position: number): number => (position * 7 + 3) % 251;
export const appByte = (position: number): number => position % 251;
export const pattern = (byte: (p: number) => number, from: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => byte(from + i));

/** What a script says of a segment that it sends. */
export interface Out extends Omit<Options, 'ts'> {
  /** Default: behind what was sent before. */
  seq?: number;
  /** Default: all that came, when there is an ACK flag. */
  ack?: number;
  /** Bytes of the peer's stream, at their position. */
  len?: number;
  win?: number;
  urg?: number;
  ecn?: number;
  /** Default: own clock and last value seen, when both sides offered timestamps. */
  ts?: [number, number] | false;
  bad?: Damage;
}

/** What a script says of a segment that must come. Fields that it leaves out are not compared, but `seq` and `len`. */
export interface In {
  /** Default: the next that has not been seen. */
  seq?: Want<number>;
  ack?: Want<number>;
  /** Default 0. */
  len?: Want<number>;
  /** As it stands in the header; `window` is scaled. */
  win?: Want<number>;
  window?: Want<number>;
  urg?: Want<number>;
  ecn?: Want<number>;
  psh?: Want<boolean>;
  mss?: Want<number>;
  wscale?: Want<number>;
  sackOk?: Want<true>;
  sack?: Want<[number, number][]>;
  tsVal?: Want<number>;
  tsEcr?: Want<number>;
  /** ms since the step before: least and most. */
  after?: [number, number];
  /** How long to wait for it when `after` does not say. Default 3000 ms. */
  limitMs?: number;
}

/** A segment from the host in relative numbers. */
export interface Seen {
  at: number;
  flags: string;
  seq: number;
  ack: number | undefined;
  len: number;
  win: number;
  window: number;
  urg: number | undefined;
  ecn: number;
  psh: boolean;
  mss: number | undefined;
  wscale: number | undefined;
  sackOk: true | undefined;
  sack: [number, number][] | undefined;
  tsVal: number | undefined;
  tsEcr: number | undefined;
}

/** What a flow needs of the stage it stands on. */
export interface Wire {
  readonly host: Host;
  readonly transcript: Transcript;
  /** The step before, for `after`. */
  last: Moment;
  /** Shares out what has arrived. */
  sort(): void;
}

const flagsOf = (bits: number): string => flagWords(bits & ~TcpFlag.PSH);

export class Flow {
  /** Arrived and not taken. */
  readonly queue: { arrival: Arrival; decoded: Decoded }[] = [];
  /** Behind the last byte that was sent, relative. */
  next = 0;
  /** Behind the last byte that came, relative. */
  theirs = 0;
  /** Initial sequence number of the host; undefined until its SYN came. */
  irs: number | undefined;
  /** Options of either SYN. */
  sentSyn: Options | undefined;
  gotSyn: Options | undefined;
  gotSynFlags = '';
  /** Highest acknowledgment that came, and highest right edge that was offered, relative. */
  acknowledged = 0;
  offered = 0;
  /** Default of `win`. */
  win = 65535;
  /** Own timestamp clock: one tick a segment. */
  tsVal = 1000;
  /** Timestamp seen last, and first. */
  tsRecent = 0;
  firstTs: number | undefined;
  /** The last packet that came, for ICMP errors to quote. */
  lastPacket: Uint8Array | undefined;

  constructor(
    readonly wire: Wire,
    readonly port: number,
    readonly peerPort: number,
    /** Initial sequence number of the script. */
    readonly iss: number,
  ) {}

  /** Both SYNs had the option. */
  agreed(option: keyof Options): boolean {
    return this.sentSyn?.[option] !== undefined && this.gotSyn?.[option] !== undefined;
  }

  /** Both sides agreed on ECN: the answer to a SYN with ECE and CWR had ECE alone. */
  ecn = false;

  /** Sends a segment. `flags` as in `SYN ACK`. */
  send(flags: string, out: Out = {}): void {
    const bits = flagBits(flags);
    const { seq = this.next, len = 0, urg = 0, ecn = 0, bad, ack, win = this.win, ts, ...options } = out;
    const end = seq + len + (bits & TcpFlag.SYN ? 1 : 0) + (bits & TcpFlag.FIN ? 1 : 0);
    const syn = (bits & TcpFlag.SYN) !== 0;
    const ackNo = bits & TcpFlag.ACK ? (ack ?? this.theirs) : (ack ?? 0);
    if (ts) this.tsVal = Math.max(this.tsVal, ts[0]);
    const stamp =
      ts || (ts === undefined && this.agreed('ts') && !(bits & TcpFlag.RST))
        ? { ts: ts || ([++this.tsVal, this.tsRecent] as [number, number]) }
        : {};
    const all: Options = { ...stamp, ...options };
    if (syn && bad === undefined) this.sentSyn ??= all;
    if (!bad) {
      this.next = Math.max(this.next, end);
      const shift = !syn && this.agreed('wscale') ? Math.min(this.sentSyn!.wscale!, 14) : 0;
      if (bits & TcpFlag.ACK) this.offered = Math.max(this.offered, ackNo + win * 2 ** shift);
    }
    const segment: Segment = {
      srcPort: this.peerPort,
      dstPort: this.port,
      seq: wrap(this.iss + seq),
      ack: bits & TcpFlag.ACK || ack !== undefined ? wrap((this.irs ?? 0) + ackNo) : 0,
      flags: bits,
      window: win,
      urgent: urg,
      options: all.sack
        ? { ...all, sack: all.sack.map(([a, b]) => [wrap((this.irs ?? 0) + a), wrap((this.irs ?? 0) + b)]) }
        : all,
      payload: pattern(peerByte, seq - (syn ? 0 : 1), len),
      ecn,
    };
    const { host, transcript } = this.wire;
    this.wire.last = host.inject(encode({ src: host.peer, dst: host.address }, segment, bad));
    const wrong = bad ? ` with ${Object.entries(bad).flat().join(' ')} wrong` : '';
    transcript.note(
      this.wire.last,
      `→ ${outText(this.peerPort, flags, { ...out, seq, len, ack: ackNo, win }, all)}${wrong}`,
    );
  }

  /** In relative numbers. Takes the initial sequence number from a SYN. */
  private see({ at }: Arrival, s: Segment): Seen {
    const syn = (s.flags & TcpFlag.SYN) !== 0;
    if (syn) this.irs ??= s.seq;
    const o = s.options;
    const shift = !syn && this.agreed('wscale') ? Math.min(this.gotSyn!.wscale!, 14) : 0;
    return {
      at,
      flags: flagsOf(s.flags),
      seq: relative(s.seq, this.irs ?? 0),
      ack: s.flags & TcpFlag.ACK ? relative(s.ack, this.iss) : undefined,
      len: s.payload.length,
      win: s.window,
      window: s.window * 2 ** shift,
      urg: s.flags & TcpFlag.URG ? s.urgent : undefined,
      ecn: s.ecn,
      psh: (s.flags & TcpFlag.PSH) !== 0,
      mss: o.mss,
      wscale: o.wscale,
      sackOk: o.sackOk,
      sack: o.sack?.map(([a, b]) => [relative(a, this.iss), relative(b, this.iss)]),
      tsVal: o.ts && wrap(o.ts[0] - (this.firstTs ??= o.ts[0])),
      tsEcr: o.ts?.[1],
    };
  }

  /** Takes the oldest packet, notes it and keeps count. Its breaches of standing rules are told by the caller. */
  private take(): { seen: Seen; breaches: string[] } | undefined {
    const item = this.queue.shift();
    if (!item) return undefined;
    const { arrival, decoded } = item;
    const { segment } = decoded;
    this.lastPacket = arrival.packet;
    this.wire.last = { at: arrival.at };
    if (!segment) {
      this.wire.transcript.note(arrival, `← ${decoded.text}`);
      const seen = { at: arrival.at, flags: 'damaged', seq: 0, len: 0 } as Seen;
      return { seen, breaches: decoded.faults };
    }
    const seen = this.see(arrival, segment);
    this.wire.transcript.note(arrival, `← ${seenText(this.peerPort, seen)}`);
    const breaches = [...decoded.faults, ...brokenRules(this, seen, segment)];
    const syn = (segment.flags & TcpFlag.SYN) !== 0;
    if (syn && this.gotSyn === undefined) {
      this.gotSyn = segment.options;
      this.gotSynFlags = seen.flags;
    }
    if (segment.options.ts) this.tsRecent = segment.options.ts[0];
    if (!(segment.flags & TcpFlag.RST)) {
      const fin = segment.flags & TcpFlag.FIN ? 1 : 0;
      this.theirs = Math.max(this.theirs, seen.seq + seen.len + (syn ? 1 : 0) + fin);
      if (seen.ack !== undefined) this.acknowledged = Math.max(this.acknowledged, seen.ack);
    }
    return { seen, breaches };
  }

  /** The oldest packet that was not taken, waiting until `deadline`. */
  private async await(deadline: number | undefined, limitMs: number): Promise<boolean> {
    this.wire.sort();
    if (this.queue.length) return true;
    const { host } = this.wire;
    const until = deadline ?? (await host.now()) + limitMs;
    this.wire.sort();
    while (!this.queue.length) {
      if (!(await host.pass(until))) return false;
      this.wire.sort();
    }
    return true;
  }

  /** The next segment from the host must be this one. `flags` as in `RST ACK`, or `SYN ACK or ACK`. @throws ScriptFailure */
  async gets(flags: string, want: In = {}): Promise<Seen> {
    const { stack } = new Error();
    const { after, limitMs = 3000, ...fields } = want;
    const expected = { seq: this.theirs as Want<number>, len: 0 as Want<number>, ...fields };
    const since = this.wire.last;
    const limit = after ? after[1] + 2000 : limitMs;
    if (!(await this.await(undefined, limit)))
      throw this.failure(
        `nothing came within ${limit} ms`,
        [`expected ${wantedText(flags, expected)}`],
        stack,
      );
    const { seen, breaches } = this.take()!;
    const differences = compare(flags, expected, seen);
    if (after) {
      const waited = seen.at - (since.at ?? seen.at);
      if (waited < after[0] || waited > after[1])
        differences.push({
          field: 'after',
          expected: `${after[0]} … ${after[1]} ms`,
          got: `${waited.toFixed(1)} ms`,
        });
    }
    if (differences.length || breaches.length)
      throw this.failure(
        differences.length ? 'another segment came' : 'the segment breaks a rule',
        [
          `expected ${wantedText(flags, expected)}`,
          `got      ${seenText(this.peerPort, seen)}`,
          ...(differences.length ? differenceLines(differences) : []),
          ...breaches,
        ],
        stack,
      );
    return seen;
  }

  /**
   * The host acknowledges all before `ack` sooner or later: takes pure ACKs that climb there, at most `limitMs` long
   * (RFC 9293 §3.8.6.3: an ACK must not wait for more than 500 ms). Returns the last. @throws ScriptFailure
   */
  async acked(ack = this.next, want: In = {}): Promise<Seen> {
    const { stack } = new Error();
    const { limitMs = 700, ...fields } = want;
    const deadline = (await this.wire.host.now()) + limitMs;
    for (;;) {
      if (!(await this.await(deadline, 0)))
        throw this.failure(`nothing acknowledged ${ack} within ${limitMs} ms`, [], stack);
      const { seen, breaches } = this.take()!;
      const last = seen.ack === ack;
      const expected = last ? { seq: this.theirs, len: 0, ...fields } : { seq: this.theirs, len: 0 };
      const differences = compare('ACK', expected, seen);
      if (!last && (seen.ack === undefined || seen.ack > ack))
        differences.push({ field: 'ack', expected: `at most ${ack}`, got: String(seen.ack) });
      if (differences.length || breaches.length)
        throw this.failure('another segment came', [...differenceLines(differences), ...breaches], stack);
      if (last) return seen;
    }
  }

  /** Takes all that has come within `ms`, unseen by the script but for the rules that always hold. */
  async drain(ms = 0): Promise<Seen[]> {
    const { stack } = new Error();
    const deadline = (await this.wire.host.now()) + ms;
    const all: Seen[] = [];
    while (await this.await(deadline, 0)) {
      const { seen, breaches } = this.take()!;
      if (breaches.length) throw this.failure('the segment breaks a rule', breaches, stack);
      all.push(seen);
    }
    return all;
  }

  /** Within `ms` nothing comes but such segments, if any. */
  async only(flags: string, ms: number, want: In = {}): Promise<Seen[]> {
    const { stack } = new Error();
    const all = await this.drain(ms);
    for (const seen of all) {
      const differences = compare(flags, want, seen);
      if (differences.length) throw this.failure('another segment came', differenceLines(differences), stack);
    }
    return all;
  }

  failure(what: string, details: string[], stack: string | undefined): ScriptFailure {
    // What else has come helps to see what happened.
    this.wire.sort();
    while (this.queue.length) this.take();
    return new ScriptFailure(what, details, placeOf(stack), this.wire.transcript);
  }
}

function compare(flags: string, want: Omit<In, 'after' | 'limitMs'>, seen: Seen): Difference[] {
  const choices = flags.split(' or ').map(f => flagsOf(flagBits(f)));
  const expected: Record<string, unknown> = { flags: oneOf(...choices), ...want };
  const got = seen as unknown as Record<string, unknown>;
  return Object.keys(expected)
    .filter(field => expected[field] !== any && !matches(expected[field], got[field]))
    .map(field => ({ field, expected: wantText(expected[field]), got: wantText(got[field]) }));
}
