/** A slot as a carrier has it: a client's, which makes one call after another, or one that came to a server. */
import { StreamRequest } from '../../layout/layout.gen.js';
import type { StreamEnd } from '../../streams/stream_end.js';
import { formatIp } from '../../wire/address.js';
import { Account } from '../accounts.js';
import type { Call } from '../calls.js';
import { SETTLE_MS } from '../carrier.js';
import { whyFailed } from '../errors.js';
import type { Events, KeptRequest } from '../event.js';
import type { Outgoing } from '../outgoing.js';
import { Found, type Inbox } from '../tcp/receiver.js';
import type { HomaCarrier } from './carrier.js';
import { Enveloped } from './envelope.js';
import type { Pool, Share } from './pool.js';
import { SlotReader } from './reader.js';
import { SlotWriter } from './writer.js';

export class Slot implements Inbox {
  readonly reader: SlotReader;
  readonly writer: SlotWriter;
  ready = false;
  touched = false;
  over = false;
  /** A client's: the call that it carries, and the number of the next, modulo 2^32. */
  current: Call | undefined = undefined;
  private number = 0;
  /** The same: whose call it is. */
  share: Share | undefined = undefined;
  /** Of a request that is not in the ring yet: its length. */
  private unsent = 0;
  /** A server's: whether a request is to be answered, which, and who keeps it. */
  open = false;
  asked = 0;
  kept: KeptRequest | undefined = undefined;
  private length = 0;
  /** The same: the next one is read when the last one counts no more. */
  readonly account: Account;
  /** It is to end: why. */
  private ending: { code: string; reason: string } | undefined;
  /** A server's: it ends when all of the answer is in the ring: why, and how much was. */
  private closing: { code: string; reason: string; written: number; untilMs: number } | undefined;

  /** @param pool of a client's @param served of a server's: what serves the port, and what that was made with */
  constructor(
    readonly carrier: HomaCarrier,
    readonly end: StreamEnd,
    readonly pool: Pool | undefined,
    readonly served: { readonly data: unknown } | undefined,
  ) {
    this.account = new Account(carrier.accounts, 1, true, () => this.goOn());
    this.reader = new SlotReader(
      end,
      carrier.home.pool,
      pool === undefined ? this : undefined,
      carrier.home.inParts,
    );
    this.writer = new SlotWriter(end);
    end.hearer = this;
  }

  /** Events of its stream. */
  heard(bits: number): void {
    if (!this.over) this.carrier.news(this, bits);
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

  begin(call: Call, body: Uint8Array | Outgoing, own: boolean, share: Share): void {
    this.current = call;
    this.share = share;
    call.link = this;
    call.out = this.writer.send(this.number, call.peer, body, own);
    this.number = (this.number + 1) >>> 0;
    if (call.out !== undefined) {
      this.unsent = body.length;
      share.unsent += this.unsent;
    }
  }

  /** There is room. */
  writable(): void {
    this.writer.pump();
    if (this.writer.busy) return;
    this.sent();
    this.goOn();
    const { closing } = this;
    if (closing !== undefined) this.finish(closing.code, closing.reason, StreamRequest.CLOSE);
  }

  private sent(): void {
    if (this.unsent > 0) this.share!.unsent -= this.unsent;
    this.unsent = 0;
  }

  /** Whose request it is, as text. */
  get remote(): { address: string; port: number } {
    const { family, port, w0, w1, w2, w3 } = this.reader;
    const dv = new DataView(new ArrayBuffer(16));
    for (const [i, w] of [w0, w1, w2, w3].entries()) dv.setUint32(4 * i, w, true);
    return { address: formatIp(new Uint8Array(dv.buffer, 0, family === 4 ? 4 : 16)), port };
  }

  // ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The transport has ended it: what came before is still told. */
  ends(code: string): void {
    this.ending ??= { code, reason: this.why(code, REASONS[code] ?? 'the transport ended it') };
  }

  admits(length: number): boolean {
    return this.account.take(length);
  }

  /** Perhaps there is room for what waits. */
  private goOn(): void {
    if (this.pool === undefined && !this.over && this.reader.pending) this.carrier.list.add(this);
  }

  /** Takes what came. Returns whether there may be more. */
  work(events: Events): boolean {
    const { reader } = this;
    while (!this.over) {
      if (events.full) return true;
      if ((this.open || this.writer.busy) && this.pool === undefined && reader.pending) {
        // Whoever asks for something else waits for the last one no more: who works on it hears of it now.
        if (this.open) this.give();
        if (this.writer.busy && this.closing === undefined) break;
      }
      const found = reader.next();
      if (found === Found.NOTHING || found === Found.FULL) break;
      if (this.closing !== undefined) {
        // Whoever asks for something else does not want the answer any more.
        if (found === Found.WHOLE) this.account.give(reader.length);
        this.finish(this.closing.code, this.closing.reason);
        break;
      }
      if (!this.touched) this.carrier.list.touch(this);
      if (found === Found.BAD) this.ends('EPROTO');
      else if (found === Found.PART) this.part(events);
      else if (this.pool !== undefined) this.answered(events);
      else this.requested(events);
      if (found === Found.BAD) break;
    }
    if (this.ending !== undefined && !this.touched) this.finish(this.ending.code, this.ending.reason);
    return false;
  }

  private requested(events: Events): void {
    this.open = true;
    this.asked = this.reader.call;
    this.length = this.reader.length;
    const event = events.next();
    event.kind = 'request';
    event.tag = undefined;
    this.fill(event);
  }

  private answered(events: Events): void {
    const call = this.current;
    // A call that was given up has ended its slot.
    if (call === undefined || this.reader.call !== (this.number - 1) >>> 0) return this.ends('EPROTO');
    const event = events.next();
    const failed = this.reader.enveloped === Enveloped.ERROR;
    event.kind = failed ? 'failed' : 'response';
    event.tag = call.tag;
    event.code = failed ? 'ERR_RPC_REMOTE' : undefined;
    this.fill(event);
    this.current = undefined;
    this.carrier.home.over(call);
    // It was answered before all of it was sent: nobody waits for the rest, which was promised.
    if (this.writer.busy) this.ends('ECONNRESET');
    else if (this.ending === undefined) this.pool!.give(this);
  }

  private fill(event: ReturnType<Events['next']>): void {
    const { reader } = this;
    event.carrier = this.carrier;
    event.service = this.served?.data;
    event.link = this;
    event.call = reader.call;
    event.turn = this.end.generation;
    event.length = reader.length;
    event.memory = reader.memory;
    event.at = reader.at;
    event.first = reader.first;
    event.again = reader.again;
    event.part = reader.part;
  }

  private part(events: Events): void {
    if (!this.carrier.home.inParts || this.reader.enveloped === Enveloped.ERROR) return;
    const event = events.next();
    event.kind = 'part';
    event.tag = this.current?.tag;
    this.fill(event);
  }

  /** The bytes of its events are given back. */
  done(): void {
    this.touched = false;
    if (this.over) return this.letGo();
    if (this.reader.done() || this.ending !== undefined) this.carrier.list.add(this);
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Nobody answers the last request any more. */
  private give(): void {
    const { kept, open } = this;
    if (open) this.closed(false);
    if (kept !== undefined) this.carrier.home.cancelled(kept);
  }

  /** The request is answered, or nobody waits for it. */
  closed(answered: boolean): void {
    const { kept } = this;
    this.open = false;
    this.kept = undefined;
    this.account.release(kept, this.length, answered);
  }

  /** Takes no more: what was answered arrives, who waits for an answer hears ECONNRESET. */
  endAnswered(code: string, reason: string): void {
    if (this.over || this.closing !== undefined) return;
    if (this.pool !== undefined || this.open) this.finish(code, reason);
    else if (!this.writer.busy) this.finish(code, reason, StreamRequest.CLOSE);
    else {
      this.closing = { code, reason, written: -1, untilMs: 0 };
      this.carrier.home.stir();
    }
  }

  get settling(): boolean {
    return this.closing !== undefined && !this.over;
  }

  /** Ends one whose peer takes nothing of its answer any more. */
  settle(nowMs: number): void {
    const { closing } = this;
    if (closing === undefined || this.over) return;
    const { position } = this.end;
    if (position !== closing.written) {
      closing.written = position;
      closing.untilMs = nowMs + SETTLE_MS;
    } else if (nowMs >= closing.untilMs) this.finish(closing.code, closing.reason);
  }

  /** The rest of a message did not come. */
  late(): void {
    this.finish('ETIMEDOUT', this.why('ETIMEDOUT', 'the rest of a message did not come'));
  }

  private why(code: string, what: string): string {
    return whyFailed(this.current?.peer, 'homa', code, what);
  }

  /**
   * Gives the slot up: the peer hears ECONNRESET, or that nobody waits; after CLOSE what is in the ring arrives. Whatever its last
   * events show stays as it is.
   */
  finish(code: string, reason: string, how: number = StreamRequest.ABORT): void {
    if (this.over) return;
    this.over = true;
    this.end.request(how);
    this.writer.drop();
    this.sent();
    this.give();
    this.account.end();
    this.carrier.ended(this, code, reason);
    if (!this.touched) this.letGo();
  }

  /** Nobody looks at what came: its memory is others'. */
  private letGo(): void {
    this.end.release();
    this.reader.drop();
  }
}

const REASONS: Record<string, string> = {
  ETIMEDOUT: 'the peer is silent',
  ECONNREFUSED: 'nobody serves the port',
  ENOBUFS: 'the server has no slot for it',
  ECONNRESET: 'the server gave the call up',
  EPROTO: 'what came is no message',
};
