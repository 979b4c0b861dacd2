/**
 * A carrier over a transport of datagrams that promises each of them once and in order, or an error: such as the tutorial's
 * (docs/own_transport.md). Each datagram is a frame (frame.ts). What the transport cannot say, that a server is no more or has
 * lost an answer, is a call's patience: it ends with ETIMEDOUT.
 */
import { randomInt } from 'node:crypto';
import { Accounts, turnOf } from '../accounts.js';
import type { Call } from '../calls.js';
import type { Asked, Carrier, CarrierHome, CarrierLimits, ListenWish, ServePlace } from '../carrier.js';
import { codeOf, errorBody, RpcError, whyFailed } from '../errors.js';
import type { Events, KeptRequest, RpcEvent } from '../event.js';
import { type FrameHead, FrameKind, isNewer, MOST_MESSAGE } from '../frame.js';
import type { Outgoing } from '../outgoing.js';
import type { Part } from '../parts.js';
import type { RpcPeer } from '../peer.js';
import { ReadyList } from '../ready_list.js';
import type { DatagramCalls, RpcDatagramSocket } from './calls.js';
import { Correspondence } from './correspondence.js';
import { Post } from './post.js';

const PATIENCE_MS = 60_000;
/** Times are rounded, ms. */
const ROUNDED_MS = 1;
/** Epochs of clients are less. */
const EPOCHS = 2 ** 32;
const SILENT = 'the request did not arrive, or the server is no more';
const NOTHING = new Uint8Array(0);
/** What waits of other things that a peer does not take, when it is not even told that it asks too much, bytes. */
const UNTOLD_BYTES = 65_536;
const BUSY = errorBody(
  new RpcError('ERR_RPC_BUSY', 'the request was not executed: too much that was asked before is unanswered'),
);

export class DatagramCarrier implements Carrier {
  readonly name: string;
  readonly patienceMs = PATIENCE_MS;
  private readonly posts = new Set<Post>();
  readonly list = new ReadyList<Post>();
  readonly accounts: Accounts;

  constructor(
    readonly index: number,
    readonly home: CarrierHome,
    readonly calls: DatagramCalls,
    readonly limits: CarrierLimits,
  ) {
    this.name = calls.name;
    this.accounts = new Accounts(limits);
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

  begin(call: Call, body: Uint8Array | Outgoing, own: boolean): boolean {
    const { peer, turn } = call;
    try {
      let who = peer.places[this.index] as Correspondence | undefined;
      if (who === undefined || who.left || who.post.over || who.post.closing)
        peer.places[this.index] = who = this.server(peer);
      if (who.post.waiting > this.limits.unsent) return false;
      call.link = who;
      call.begunMs = this.home.nowMs();
      who.begins(call.begunMs);
      call.out = who.post.send(who, FrameKind.REQUEST, call.place, turn, body, own);
    } catch (error) {
      if (call.link instanceof Correspondence) this.ended(call.link);
      call.link = undefined;
      const code = codeOf(error);
      this.home.later(() => {
        if (call.turn === turn)
          this.home.fail(call, code, whyFailed(peer, this.name, code, (error as Error).message));
      });
    }
    return true;
  }

  private server(peer: RpcPeer): Correspondence {
    const post = this.post({ port: 0 }, undefined);
    const [w0, w1, w2, w3] = peer.words;
    const to = { family: peer.family, port: peer.port, w0, w1, w2, w3 };
    post.server = new Correspondence(post, to, peer.address, randomInt(EPOCHS));
    post.server.sinceMs = this.home.nowMs();
    return post.server;
  }

  private post(where: { port: number; address?: string }, service: unknown): Post {
    const post = new Post(this, service);
    post.socket = this.calls.bind(where, post);
    this.posts.add(post);
    return post;
  }

  cancel(call: Call): void {
    const who = call.link as Correspondence | undefined;
    if (who === undefined || who.post.over) return;
    const nowMs = this.home.nowMs();
    // Only who was asked for as long, and said nothing, is no more: a call that is given up says nothing of the others.
    if (nowMs - Math.max(who.heardMs, call.begunMs) >= PATIENCE_MS - ROUNDED_MS) {
      this.giveUp(who);
      this.home.failAll(
        other => other.link === who && other !== call,
        'ETIMEDOUT',
        this.why(who, 'ETIMEDOUT'),
      );
      return;
    }
    this.withdraw(who, call);
    // It may be that no call waits for as long. The others go on, and what comes next tries another socket.
    if (who.silentMs(nowMs) >= PATIENCE_MS / 2) who.left = true;
    this.ended(who);
  }

  /** Takes back what of a request was not sent; the server is told, if it knows of it. */
  private withdraw(who: Correspondence, { place, turn }: Call): void {
    who.forget(place);
    if (who.post.withdraw(who, place, turn)) who.post.send(who, FrameKind.CANCEL, place, turn, NOTHING, true);
  }

  /** A call of a client is over. */
  private ended(who: Correspondence): void {
    who.ends(this.home.nowMs());
    if (who.left && who.calls === 0) who.post.endSent();
    else this.home.stir();
  }

  // ── serving ───────────────────────────────────────────────────────────────────────────────────────────────────

  listen({ port, address, data }: ListenWish): ServePlace {
    // Whoever has the port still, for an answer, gives it to the next server.
    for (const post of this.posts)
      if (port !== 0 && post.closing && post.socket.port === port) this.leave(post);
    const post = this.post({ port, ...(address === undefined ? {} : { address }) }, data);
    return {
      port: post.socket.port,
      close: () => post.endSent(),
    };
  }

  reply(asked: Asked, kind: FrameKind, body: Uint8Array | Outgoing, own: boolean): boolean {
    const who = asked.link as Correspondence;
    if (who.post.over || !who.account.waits(asked)) return false;
    if (body.length > MOST_MESSAGE) throw new RpcError('EMSGSIZE', `a response of ${body.length} bytes`);
    who.account.close(asked.call, true);
    who.post.send(who, kind, asked.call, asked.turn, body, own);
    this.home.stir();
    return true;
  }

  breakOff(asked: Asked, out: Outgoing, error: Uint8Array): void {
    const who = asked.link as Correspondence;
    if (who.post.over || out.dropped || out.whole) return;
    who.post.dropOut(out);
    who.post.send(who, FrameKind.ERROR, asked.call, asked.turn, error, true);
  }

  keep(kept: KeptRequest): void {
    (kept.link as Correspondence).account.keep(kept);
  }

  remote(asked: Asked): { address: string; port: number } {
    const { address, to } = asked.link as Correspondence;
    return { address, port: to.port };
  }

  /** Nobody there waits any more. */
  cancelAll({ account }: Correspondence): void {
    for (const call of [...account.open.keys()]) {
      const kept = account.close(call, false);
      if (kept !== undefined) this.home.cancelled(kept);
    }
  }

  /** Whether there is room for a request; its caller is told when there is not: what a transport has acknowledged is not asked again. */
  admits(who: Correspondence, { call, turn, length }: FrameHead): boolean {
    if (who.waiting <= this.limits.unsent && who.account.take(length)) return true;
    who.account.leave();
    if (who.waiting <= UNTOLD_BYTES) who.post.send(who, FrameKind.ERROR, call, turn, BUSY, true);
    return false;
  }

  // ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** News of a socket: bytes, room, an error. */
  news(socket: RpcDatagramSocket, failed: boolean): void {
    const post = socket.data as Post;
    if (post.over) return;
    if (failed && socket.nowError()) this.failed(post, socket.takeError() ?? 'ETIMEDOUT');
    post.pump();
    if (!post.ready && socket.readable) this.list.add(post);
  }

  /** What was sent did not arrive: a client's calls are over, a server has lost those clients. */
  private failed(post: Post, code: string): void {
    const { server } = post;
    if (server === undefined) return post.loseAll(post.socket.takeLost());
    this.giveUp(server);
    this.home.failAll(call => call.link === server, code, this.why(server, code));
  }

  private why({ address, to }: Correspondence, code: string): string {
    return whyFailed({ address, port: to.port }, this.name, code, SILENT);
  }

  /** The server may be another by now, to whom numbers of the old socket say nothing: the next call has a new one. */
  private giveUp({ post }: Correspondence): void {
    this.leave(post);
  }

  leave(post: Post): void {
    post.close();
    this.posts.delete(post);
  }

  /** A message is whole: its event, which is to be filled. */
  heard(
    events: Events,
    who: Correspondence,
    head: FrameHead,
    service: unknown,
    part: Part | undefined,
  ): RpcEvent | undefined {
    const { kind, call, turn } = head;
    const isClient = who.post.server !== undefined;
    if (isClient !== (kind === FrameKind.RESPONSE || kind === FrameKind.ERROR)) return undefined;
    if (isClient) {
      const mine = this.home.find(call, turn);
      if (mine === undefined || mine.link !== who) return undefined;
      const event = events.next();
      event.kind = kind === FrameKind.RESPONSE ? 'response' : 'failed';
      event.tag = mine.tag;
      event.code = kind === FrameKind.RESPONSE ? undefined : 'ERR_RPC_REMOTE';
      // It was answered before all of it was sent: what is left is not.
      if (mine.out !== undefined && !mine.out.whole) this.withdraw(who, mine);
      this.home.over(mine);
      this.ended(who);
      return this.named(event, who, head, undefined);
    }
    if (kind === FrameKind.CANCEL) {
      this.givenUp(who, call, turn);
      return undefined;
    }
    const { account } = who;
    let known = account.open.get(call);
    // Whoever uses the place of a call again has given that up.
    if (known !== undefined && isNewer(turn, turnOf(known))) {
      this.givenUp(who, call, turnOf(known));
      known = undefined;
    }
    if (known !== undefined) {
      if (part !== undefined) account.give(head.length);
      return undefined;
    }
    if (part === undefined && !this.admits(who, head)) return undefined;
    account.asked(call, turn, head.length);
    const event = events.next();
    event.kind = 'request';
    event.tag = undefined;
    return this.named(event, who, head, service);
  }

  /** A client waits for the answer of a request no more. */
  private givenUp(who: Correspondence, call: number, turn: number): void {
    who.post.dropOf(who, call, turn);
    if (!who.account.waits({ call, turn })) return;
    const kept = who.account.close(call, false);
    if (kept !== undefined) this.home.cancelled(kept);
  }

  /** More of a message came: who reads it meanwhile is told. */
  part(events: Events, who: Correspondence, head: FrameHead, part: Part, service: unknown): void {
    const call = this.home.find(head.call, head.turn);
    if (who.post.server !== undefined && call?.link !== who) return who.forget(head.call);
    if (!this.home.inParts || head.kind > FrameKind.RESPONSE) return;
    const event = events.next();
    event.kind = 'part';
    event.tag = who.post.server !== undefined ? call!.tag : undefined;
    event.length = head.length;
    event.part = part;
    this.named(event, who, head, service);
  }

  private named(event: RpcEvent, who: Correspondence, { call, turn }: FrameHead, service: unknown): RpcEvent {
    event.carrier = this;
    event.service = service;
    event.link = who;
    event.call = call;
    event.turn = turn;
    return event;
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
    (link as Correspondence).post.pump();
  }

  tick(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const post of this.posts) {
      const { server } = post;
      const own = server === undefined || post.closing !== undefined;
      nextMs = Math.min(nextMs, own ? post.tick(nowMs) : this.rests(server, nowMs));
    }
    return nextMs;
  }

  /** Closes the socket towards a server that was not called for long. Returns when that may be so, ms. */
  private rests(server: Correspondence, nowMs: number): number {
    if (server.calls > 0) return Number.POSITIVE_INFINITY;
    const overMs = server.sinceMs + this.limits.idleMs;
    if (nowMs <= overMs) return overMs + 1;
    server.post.endSent();
    return server.post.over ? Number.POSITIVE_INFINITY : nowMs;
  }

  close(): void {
    for (const post of [...this.posts]) post.endSent();
  }

  get settling(): boolean {
    return this.posts.size > 0;
  }

  end(): void {
    for (const post of [...this.posts]) this.leave(post);
  }
}
