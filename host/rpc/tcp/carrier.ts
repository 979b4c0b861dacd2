/**
 * The TCP carrier: frames over connections of the burst API. One connection a peer, opened by its first call and again when it
 * has ended; many calls in flight, answered in any order.
 *
 *   begin ─▶ Link ─ Sender ─▶ send ring            receive ring ─▶ Receiver ─ Link ─▶ events
 */
import { Accounts } from '../accounts.js';
import type { Call } from '../calls.js';
import type { Asked, Carrier, CarrierHome, CarrierLimits, ListenWish, ServePlace } from '../carrier.js';
import { codeOf, RpcError } from '../errors.js';
import type { Events, KeptRequest } from '../event.js';
import { FrameKind, MOST_MESSAGE } from '../frame.js';
import type { Outgoing } from '../outgoing.js';
import type { RpcPeer } from '../peer.js';
import { ReadyList } from '../ready_list.js';
import type { ConnectionNews, TcpCalls } from './connection.js';
import { Link } from './link.js';

/** A listener's `data`. */
class Served {
  readonly links = new Set<Link>();

  constructor(
    readonly carrier: TcpCarrier,
    readonly service: unknown,
  ) {}
}

export class TcpCarrier implements Carrier {
  readonly name = 'tcp';
  readonly links = new Set<Link>();
  readonly list = new ReadyList<Link>();
  readonly accounts: Accounts;

  constructor(
    readonly index: number,
    readonly home: CarrierHome,
    readonly calls: TcpCalls,
    readonly limits: CarrierLimits,
  ) {
    this.accounts = new Accounts(limits);
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

  begin(call: Call, body: Uint8Array | Outgoing, own: boolean): boolean {
    const link = (call.peer.places[this.index] as Link | undefined) ?? this.connect(call.peer);
    if (link.sender.waiting > this.limits.unsent) return false;
    call.link = link;
    link.calls++;
    // One that could not be made ends when its calls can hear of it.
    call.out = link.sender.send(FrameKind.REQUEST, call.place, call.turn, body, own);
    return true;
  }

  private connect(peer: RpcPeer): Link {
    const link = new Link(this, peer);
    peer.places[this.index] = link;
    this.links.add(link);
    try {
      const connection = this.calls.connect(peer.address, peer.port, link);
      if (connection !== undefined) link.opened(connection);
    } catch (error) {
      // The call that wanted it is to fail, too.
      this.home.later(() => this.refused(link, error));
    }
    return link;
  }

  /** There will be no connection. */
  refused(link: Link, error: unknown): void {
    link.end(codeOf(error), (error as Error).message, true);
  }

  cancel(call: Call): void {
    const link = call.link as Link;
    link.calls--;
    link.withdraw(call);
    link.receiver?.forget(call.place, call.turn);
  }

  // ── serving ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** What the `data` of a listener is to be whose connections carry requests for `service`. */
  served(service: unknown): unknown {
    return new Served(this, service);
  }

  listen(wish: ListenWish): ServePlace | Promise<ServePlace> {
    const { data, ...where } = wish;
    const served = new Served(this, data);
    const listening = this.calls.listen(where, served);
    const place = (listener: Awaited<typeof listening>): ServePlace => {
      listener.data = served;
      return {
        port: listener.place.port,
        close: () => {
          listener.close();
          for (const link of [...served.links]) link.endAnswered('ECONNABORTED', 'the server was closed');
        },
      };
    };
    return listening instanceof Promise ? listening.then(place) : place(listening);
  }

  reply(asked: Asked, kind: FrameKind, body: Uint8Array | Outgoing, own: boolean): boolean {
    const link = asked.link as Link;
    if (!link.account.waits(asked)) return false;
    if (body.length > MOST_MESSAGE) throw new RpcError('EMSGSIZE', `a response of ${body.length} bytes`);
    // Whoever waits for room hears of it when the answer is on its way.
    link.sender.send(kind, asked.call, asked.turn, body, own);
    link.account.close(asked.call, true);
    this.home.stir();
    return true;
  }

  breakOff(asked: Asked, out: Outgoing, error: Uint8Array): void {
    const link = asked.link as Link;
    if (link.over || out.dropped || out.whole) return;
    link.sender.drop(out);
    link.sender.send(FrameKind.ERROR, asked.call, asked.turn, error, true);
  }

  keep(kept: KeptRequest): void {
    (kept.link as Link).account.keep(kept);
  }

  remote(asked: Asked): { address: string; port: number } {
    return (asked.link as Link).connection?.remote ?? { address: '', port: 0 };
  }

  // ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** News of a connection. Whether it is one of its own. */
  news(event: ConnectionNews): boolean {
    const { connection } = event;
    if (event.accepted) {
      const served = connection.listener?.data;
      if (!(served instanceof Served) || served.carrier !== this) return false;
      this.accept(connection, served);
    }
    const link = connection.data;
    if (!(link instanceof Link) || link.carrier !== this) return false;
    // One that another thread was asked for.
    if (link.connection === undefined) link.opened(connection);
    if (event.writable || event.connected) link.writable();
    if (event.readable || event.ended || event.closed) this.list.add(link);
    return true;
  }

  private accept(connection: ConnectionNews['connection'], served: Served): void {
    if (this.links.size + this.accounts.ghosts >= this.limits.connections) return connection.abort();
    const link = new Link(this, undefined);
    this.links.add(link);
    served.links.add(link);
    link.served = served.links;
    link.service = served.service;
    link.opened(connection);
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
    (link as Link).sender.pump();
    this.home.stir();
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  ended(link: Link, code: string, reason: string): void {
    this.links.delete(link);
    const { peer } = link;
    if (peer === undefined) return;
    if (peer.places[this.index] === link) peer.places[this.index] = undefined;
    if (link.calls > 0) this.home.failAll(call => call.link === link, code, reason);
  }

  tick(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const link of [...this.links]) nextMs = Math.min(nextMs, link.tick(nowMs));
    return nextMs;
  }

  close(): void {
    for (const link of [...this.links]) link.endAnswered('ERR_RPC_CLOSED', 'the RPC was closed');
  }

  get settling(): boolean {
    return this.links.size > 0;
  }

  end(): void {
    for (const link of [...this.links]) link.end('ERR_RPC_CLOSED', 'the RPC was closed', false);
  }
}
