/**
 * The Homa carrier: each call goes over a slot (host/transports/homa/README.md), of which there are as many as calls in
 * flight. Nothing is framed: a request is Homa's message, and a response, too, unless it is an error (envelope.ts).
 *
 *   begin ─▶ Pool ─ a free Slot ─▶ record and message in its send ring       receive ring ─▶ Slot ─▶ events
 */
import { StreamEvent, StreamLayout } from '../../layout/layout.gen.js';
import type { StreamEnd } from '../../streams/stream_end.js';
import { Accounts } from '../accounts.js';
import type { Call } from '../calls.js';
import {
  type Asked,
  type Carrier,
  type CarrierHome,
  type CarrierLimits,
  type ListenWish,
  LOOK_MS,
  type ServePlace,
  TICK_MS,
} from '../carrier.js';
import { codeOf, RpcError, whyFailed } from '../errors.js';
import type { Events, KeptRequest } from '../event.js';
import { FrameKind, MOST_MESSAGE } from '../frame.js';
import type { Outgoing } from '../outgoing.js';
import { ReadyList } from '../ready_list.js';
import type { ServedPort, SlotCalls } from './calls.js';
import { ENVELOPE, Enveloped, enveloped, envelopeHead, isMarked } from './envelope.js';
import { Pool, Share, Waiting } from './pool.js';
import { Slot } from './slot.js';

/** From here on ports are clients' (HomaModule). */
const CLIENT_PORTS = 0x8000;
const GONE = StreamEvent.HUP | StreamEvent.ERR | StreamEvent.FREED;

export class HomaCarrier implements Carrier {
  readonly name = 'homa';
  /** By number of the stream. */
  private readonly slots = new Map<number, Slot>();
  /** By lane and port of the engine. */
  private readonly pools = new Map<string, Pool>();
  /** What ports are served with. */
  private readonly served = new Map<number, { data: unknown }>();
  readonly list = new ReadyList<Slot>();
  readonly accounts: Accounts;
  private tickedMs = 0;

  constructor(
    readonly index: number,
    readonly home: CarrierHome,
    readonly calls: SlotCalls,
    readonly limits: CarrierLimits,
  ) {
    this.accounts = new Accounts(limits);
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

  begin(call: Call, body: Uint8Array | Outgoing, own: boolean): boolean {
    const { peer } = call;
    try {
      let share = peer.places[this.index] as Share | undefined;
      if (share === undefined || share.pool.gone)
        peer.places[this.index] = share = new Share(this.pool(peer.address), peer.address);
      return share.begin(call, body, own);
    } catch (error) {
      // No way there: the call fails as those do whose server is not there.
      const { turn } = call;
      const code = codeOf(error);
      this.home.later(() => {
        if (call.turn === turn)
          this.home.fail(call, code, whyFailed(peer, this.name, code, (error as Error).message));
      });
      return true;
    }
  }

  private pool(address: string): Pool {
    const way = this.calls.way(address);
    const key = way.own ? way.address : `${way.lane} ${way.ifindex}`;
    let pool = this.pools.get(key);
    if (pool === undefined) {
      pool = new Pool(this, way);
      this.pools.set(key, pool);
    }
    return pool;
  }

  /** A stream that was opened for a pool. */
  opened(id: number, pool: Pool): Slot {
    const slot = new Slot(this, this.calls.end(id), pool, undefined);
    this.slots.set(id, slot);
    return slot;
  }

  cancel(call: Call): void {
    const { link } = call;
    if (link instanceof Waiting) return link.share.cancel(link);
    if (!(link instanceof Slot)) return;
    const slot = link;
    slot.current = undefined;
    slot.finish('ECONNRESET', 'the call was given up');
  }

  // ── serving ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** The port is served: its requests are for `service`. */
  serves(port: number, service: unknown): void {
    this.served.set(port, { data: service });
  }

  listen(wish: ListenWish): ServePlace | Promise<ServePlace> {
    const { data, ...where } = wish;
    const serving = this.calls.serve(where);
    const place = (served: ServedPort): ServePlace => {
      const mine = { data };
      this.served.set(served.port, mine);
      return {
        port: served.port,
        close: () => {
          served.close();
          this.served.delete(served.port);
          for (const slot of [...this.slots.values()])
            if (slot.served === mine) slot.endAnswered('ECONNABORTED', 'the server was closed');
        },
      };
    };
    return serving instanceof Promise ? serving.then(place) : place(serving);
  }

  reply(asked: Asked, kind: FrameKind, body: Uint8Array | Outgoing, own: boolean): boolean {
    const slot = asked.link as Slot;
    if (slot.over || !slot.open || slot.asked !== asked.call) return false;
    if (body.length > MOST_MESSAGE) throw new RpcError('EMSGSIZE', `a response of ${body.length} bytes`);
    let message = body;
    if (kind === FrameKind.ERROR) message = enveloped(Enveloped.ERROR, body as Uint8Array);
    else if (!(body instanceof Uint8Array)) message = this.streamed(body);
    else if (body.length > 0 && body[0] === 0xe7 && isMarked(body))
      message = enveloped(Enveloped.RESPONSE, body);
    if (slot.writer.send(asked.call, undefined, message, own || message !== body)) this.home.stir();
    slot.closed(true);
    return true;
  }

  /** What a stream begins with is not known yet: it is enveloped. Its bytes are passed on as they come. */
  private streamed(body: Outgoing): Outgoing {
    if (body.length + ENVELOPE > MOST_MESSAGE)
      throw new RpcError('EMSGSIZE', `a streamed response of ${body.length} bytes`);
    return body.behind(envelopeHead(Enveloped.RESPONSE));
  }

  breakOff(asked: Asked, out: Outgoing, error: Uint8Array): void {
    const slot = asked.link as Slot;
    if (slot.over || out.dropped || out.whole) return;
    // What was promised cannot be taken back, and nothing else said instead of it.
    void error;
    slot.finish('ECONNABORTED', 'the response broke off');
  }

  keep(kept: KeptRequest): void {
    const slot = kept.link as Slot;
    if (!slot.over && slot.open && slot.asked === kept.call) slot.kept = kept;
    else kept.over = true;
  }

  remote(asked: Asked): { address: string; port: number } {
    return (asked.link as Slot).remote;
  }

  // ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Events of a stream that is no slot yet: of those slots hear themselves. Whether it is one now. */
  heard(end: StreamEnd, bits: number): boolean {
    const { dv, header } = end.app.arena;
    if (
      dv.getUint32(header.streamsAt + end.id * StreamLayout.size + StreamLayout.transport, true) !==
      this.calls.protocol
    )
      return false;
    if (bits & GONE) end.release();
    // One that the stack opens for this thread is known when its answer is here.
    else if (this.calls.view.port(end.id) < CLIENT_PORTS) this.news(this.accept(end), bits);
    return true;
  }

  /** Events of a slot. */
  news(slot: Slot, bits: number): void {
    if (bits & StreamEvent.OUT) slot.writable();
    if (bits & GONE) slot.ends(this.calls.view.error(slot.end.id) ?? 'ECONNRESET');
    if (bits & (StreamEvent.IN | GONE)) this.list.add(slot);
  }

  /** A slot that a client's first call made. */
  private accept(end: StreamEnd): Slot {
    const served = this.served.get(this.calls.view.port(end.id));
    const slot = new Slot(this, end, undefined, served);
    this.slots.set(end.id, slot);
    if (served === undefined) slot.finish('ECONNABORTED', 'the server was closed');
    else if (this.slots.size + this.accounts.ghosts > this.limits.connections)
      slot.finish('ECONNABORTED', 'there are too many');
    return slot;
  }

  get ready(): boolean {
    return this.list.some;
  }

  work(events: Events): void {
    this.list.work(events);
  }

  done(): void {
    this.list.done();
  }

  goOn(link: unknown): void {
    if (link instanceof Slot) link.writable();
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  ended(slot: Slot, code: string, reason: string): void {
    if (this.slots.get(slot.end.id) === slot) this.slots.delete(slot.end.id);
    const { pool } = slot;
    if (pool === undefined) return;
    if (slot.current !== undefined) this.home.fail(slot.current, code, reason);
    pool.lost(slot);
  }

  tick(nowMs: number): number {
    let busy = false;
    let nextMs = Number.POSITIVE_INFINITY;
    const passedMs = Math.min(nowMs - this.tickedMs, LOOK_MS);
    this.tickedMs = nowMs;
    for (const slot of this.slots.values()) {
      const leftMs = slot.reader.part?.wait(passedMs, this.limits.partMs);
      if (leftMs !== undefined) {
        if (leftMs < 0) slot.late();
        else nextMs = Math.min(nextMs, nowMs + Math.min(leftMs, LOOK_MS) + 1);
      }
      if (!slot.writer.busy) continue;
      // A ring that could not grow when it was asked may by now.
      slot.writable();
      slot.settle(nowMs);
      busy = true;
    }
    if (busy) nextMs = Math.min(nextMs, nowMs + TICK_MS);
    for (const [key, pool] of this.pools) {
      nextMs = Math.min(nextMs, pool.tick(nowMs));
      if (pool.gone) this.pools.delete(key);
    }
    return nextMs;
  }

  close(): void {
    this.served.clear();
    for (const slot of [...this.slots.values()]) slot.endAnswered('ERR_RPC_CLOSED', 'the RPC was closed');
    this.calls.leave();
  }

  get settling(): boolean {
    for (const slot of this.slots.values()) if (slot.settling) return true;
    return false;
  }

  end(): void {
    for (const slot of [...this.slots.values()]) slot.finish('ERR_RPC_CLOSED', 'the RPC was closed');
  }
}
