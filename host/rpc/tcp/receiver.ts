/**
 * Takes the frames of a connection apart, in place: a message that lies whole in the ring is told of where it lies. What comes
 * in several frames, or is too long for the ring, is gathered. Whatever a peer sends, it takes no more memory than what came.
 */
import type { Account } from '../accounts.js';
import { FRAME_HEAD, FrameKind, newHead, readHead } from '../frame.js';
import { Part, type PartPool } from '../parts.js';

/** Where bytes lie in memory: `first` of them at `at`, the others at `again`. */
export interface Lie {
  at: number;
  first: number;
  again: number;
}

/** What it reads from: a StreamEnd is one. */
export interface ByteSource {
  /** Bytes that can be read now. */
  readonly readable: number;
  /** Where `n` bytes lie that can be read, `from` bytes behind the first. False: not in two pieces. */
  look(from: number, n: number, into: Lie): boolean;
  /** Copies them to `into`, from `at` on. */
  peek(from: number, n: number, into: Uint8Array, at: number): void;
  consume(n: number): void;
}

/** Who takes requests in: a server's link. */
export interface Inbox {
  readonly account: Account;
  /** Whether there is room for one of so many bytes: then it counts. */
  admits(length: number): boolean;
}

/** What `next` found. FULL: a request for which there is no room, which stays where it is. */
export const Found = { NOTHING: 0, WHOLE: 1, PART: 2, BAD: 3, FULL: 4 } as const;
export type Found = (typeof Found)[keyof typeof Found];
/** A frame that nobody wants was passed over: the next is looked at. */
const PASSED = 5;

/** Messages in parts that a peer may have under way: its own senders have at most half as many. */
export const MOST_PARTS = 16;
/** A frame of up to so many bytes is waited for; of a longer one what is there is taken at once. */
const WAIT_BYTES = 1024;
const NOTHING = new Uint8Array(0);

export class Receiver implements Lie {
  /** Of the message that was found. */
  readonly head = newHead();
  memory: Uint8Array = NOTHING;
  at = 0;
  first = 0;
  again = 0;
  /** What it was gathered in. */
  part: Part | undefined = undefined;
  /** What is wrong with what came. */
  wrong = '';
  /** Frames that came to their end, modulo 2^32. */
  frames = 0;
  /** Bytes that were looked at, and are given back by `done`. */
  private parsed = 0;
  /** Something was found that lies in the ring: nothing is given back before `done`. */
  private holds = false;
  /** Of the frame in hand. */
  private left = 0;
  private readonly parts = new Map<number, Part>();
  private readonly whole: Part[] = [];
  private readonly scratch = new Uint8Array(FRAME_HEAD);
  private readonly scratchView = new DataView(this.scratch.buffer);

  constructor(
    readonly source: ByteSource,
    /** The memory that the source lies in. */
    readonly u8: Uint8Array,
    readonly dv: DataView,
    readonly pool: PartPool,
    /** Of a server's. */
    readonly inbox?: Inbox,
  ) {}

  /** Whether part of a frame came, and the rest did not. */
  get inFrame(): boolean {
    return this.left > 0 || this.source.readable > this.parsed;
  }

  /** Whether part of a message came, and the rest did not. */
  get inMessage(): boolean {
    return this.parts.size > 0;
  }

  /** Time passes. Returns how much of it is left for the next part of one of these messages, ms. */
  wait(ms: number, mostMs: number): number {
    let leftMs = mostMs;
    for (const part of this.parts.values()) leftMs = Math.min(leftMs, part.wait(ms, mostMs));
    return leftMs;
  }

  next(): Found {
    for (;;) {
      const found = this.look();
      if (found !== PASSED) return found;
    }
  }

  private look(): Found | typeof PASSED {
    const have = this.source.readable - this.parsed;
    if (this.left > 0) return have > 0 ? this.gather(have) : Found.NOTHING;
    if (have < FRAME_HEAD) return Found.NOTHING;
    const { head, source } = this;
    let wrong: string | undefined;
    if (source.look(this.parsed, FRAME_HEAD, this) && this.first === FRAME_HEAD)
      wrong = readHead(this.dv, this.at, head);
    else {
      source.peek(this.parsed, FRAME_HEAD, this.scratch, 0);
      wrong = readHead(this.scratchView, 0, head);
    }
    if (wrong !== undefined) return this.bad(wrong);
    const { bytes } = head;
    const known = this.parts.size > 0 ? this.parts.get(head.call) : undefined;
    if (bytes === head.length && known === undefined) {
      const end = FRAME_HEAD + bytes;
      if (have >= end && source.look(this.parsed + FRAME_HEAD, bytes, this)) {
        if (!this.admits(bytes)) return Found.FULL;
        this.memory = this.u8;
        this.part = undefined;
        this.parsed += end;
        this.holds = true;
        this.frames = (this.frames + 1) | 0;
        return Found.WHOLE;
      }
      if (have < end && end <= WAIT_BYTES) return Found.NOTHING;
    }
    return this.begin(known, have);
  }

  /** Whether what begins here may be taken in. */
  private admits(length: number): boolean {
    return this.inbox === undefined || this.head.kind !== FrameKind.REQUEST || this.inbox.admits(length);
  }

  private bad(why: string): Found {
    this.wrong = why;
    return Found.BAD;
  }

  /** A frame whose bytes are to be gathered. */
  private begin(known: Part | undefined, have: number): Found | typeof PASSED {
    const { head } = this;
    const answers = head.kind === FrameKind.RESPONSE || head.kind === FrameKind.ERROR;
    // Also when only part of it came: what nobody waits for counts nowhere.
    if (this.inbox !== undefined && answers) return this.bad('a client that answers');
    this.part = known;
    if (head.offset === 0 && head.kind === FrameKind.REQUEST && this.inbox?.account.open.has(head.call))
      return this.bad('a call that was made twice');
    if (head.offset === 0) {
      // An error, or a cancellation, ends what was half said.
      if (known && head.turn === known.turn && head.kind <= FrameKind.RESPONSE)
        return this.bad('a message that begins twice');
      if (known) this.forget(known.call, known.turn);
      if (this.parts.size >= MOST_PARTS) return this.bad(`more than ${MOST_PARTS} messages in parts`);
      if (!this.admits(head.length)) return Found.FULL;
      const account = head.kind === FrameKind.REQUEST ? this.inbox?.account : undefined;
      this.part = new Part(this.pool, head.call, head.turn, head.kind, head.length, account);
      this.parts.set(head.call, this.part);
    } else if (known) {
      const same = known.turn === head.turn && known.kind === head.kind && known.length === head.length;
      if (!same || known.received !== head.offset) return this.bad('a part that does not follow its message');
    }
    // One of a message that nobody wants any more is passed over.
    this.parsed += FRAME_HEAD;
    this.left = head.bytes;
    return this.left === 0 || have > FRAME_HEAD ? this.gather(have - FRAME_HEAD) : Found.NOTHING;
  }

  private gather(have: number): Found | typeof PASSED {
    const { part } = this;
    const n = Math.min(have, this.left);
    if (part !== undefined) {
      this.source.peek(this.parsed, n, part.room(n), part.received);
      part.received += n;
    }
    this.parsed += n;
    this.left -= n;
    if (this.left === 0) {
      this.frames = (this.frames + 1) | 0;
      if (part !== undefined) part.pieces++;
    }
    if (part === undefined) {
      // Nobody is told of it, who would say when it can be given back.
      if (!this.holds) this.giveBack();
      return this.left === 0 ? PASSED : Found.NOTHING;
    }
    if (this.left > 0 || !part.whole) return Found.PART;
    this.parts.delete(part.call);
    part.end();
    this.whole.push(part);
    this.memory = part.bytes;
    this.at = 0;
    this.first = part.length;
    this.again = 0;
    return Found.WHOLE;
  }

  /** What came of the message of a call is not wanted. */
  forget(call: number, turn: number): void {
    const part = this.parts.get(call);
    if (part === undefined || part.turn !== turn) return;
    this.parts.delete(call);
    part.drop();
    if (this.part === part) this.part = undefined;
  }

  /** Gives back the bytes of what was found. */
  done(): void {
    this.holds = false;
    this.giveBack();
    if (this.whole.length === 0) return;
    for (const part of this.whole) part.drop();
    this.whole.length = 0;
  }

  private giveBack(): void {
    if (this.parsed > 0) this.source.consume(this.parsed);
    this.parsed = 0;
  }

  /** It is over. */
  drop(): void {
    for (const part of this.parts.values()) part.drop();
    this.parts.clear();
    for (const part of this.whole) part.drop();
    this.whole.length = 0;
  }
}
