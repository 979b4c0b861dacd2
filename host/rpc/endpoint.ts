/**
 * What calls and serves in one thread: carriers, the calls in flight, and what happened to them in batches. Everything above
 * is made of it: the promises of Rpc, the burst API, in-lane applications.
 *
 *   begin(peer, bytes, tag) ─▶ carrier in use         poll(events) ◀─ every carrier: requests, responses, failures
 */
import { type Call, Calls, checkDeadline } from './calls.js';
import { type Carrier, type CarrierHome, type ListenWish, type ServePlace, TICK_MS } from './carrier.js';
import { codeOf, RpcError, whyFailed } from './errors.js';
import { Events, type KeptRequest, type RpcEvent } from './event.js';
import { MOST_MESSAGE } from './frame.js';
import type { Outgoing } from './outgoing.js';
import { PartPool } from './parts.js';
import { RpcPeer } from './peer.js';

/** How the endpoint's thread gets news, and tells the time. */
export interface EndpointHome {
  /** Takes news of streams to the carriers: `poll` of sockets. Returns how much there was. */
  news(): number;
  /** Publishes what was written and asked. */
  flush(): void;
  nowMs(): number;
  /** Carriers that may be asked for beside those that the endpoint was made with: names, and how they are made. */
  more?: { names(): string[]; maker(name: string): CarrierMaker | undefined };
}

/** Makes a carrier for an endpoint. */
export type CarrierMaker = (index: number, home: CarrierHome) => Carrier;

/** Peers that are known by address and port. */
const MOST_PEERS = 4096;
/** Places that are held while a port is looked for that is free on every carrier. */
const MOST_HELD = 16;

interface Failure {
  call: Call;
  code: string;
  reason: string;
}

export class Endpoint implements CarrierHome {
  readonly events = new Events();
  readonly pool = new PartPool();
  readonly carriers: Carrier[] = [];
  readonly #calls = new Calls();
  readonly #peers = new Map<string, RpcPeer>();
  #current: Carrier;
  /** What poll is to tell of next. */
  readonly #failures: Failure[] = [];
  readonly #cancelled: KeptRequest[] = [];
  readonly #later: (() => void)[] = [];
  /** Carriers take turns, too: the place of the one that the next poll asks first. */
  #first = 0;
  /** What comes when it is closed. */
  readonly #unheard: RpcEvent[] = [];
  readonly #served = new Set<{ wish: ListenWish; places: ServePlace[]; every: boolean }>();
  /** Listeners that are being made. */
  #listening = 0;
  /** When carriers looked at who is late, and when they are to look again. */
  #tickedMs = 0;
  #lookMs = Number.POSITIVE_INFINITY;
  #closed = false;

  /** @param inParts events of kind `part` are made @param use name of the carrier that calls go by first */
  constructor(
    readonly home: EndpointHome,
    makers: readonly CarrierMaker[],
    use: string | undefined,
    readonly inParts = false,
  ) {
    for (const make of makers) this.carriers.push(make(this.carriers.length, this));
    this.#current = this.carriers[0];
    if (use !== undefined) this.use(use);
  }

  // ── carriers ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** New calls go by that carrier; calls in flight end on theirs. @throws RpcError ERR_RPC_NO_CARRIER */
  use(name: string): void {
    this.#current = this.named(name);
  }

  /** @throws RpcError ERR_RPC_NO_CARRIER */
  named(name: string): Carrier {
    const found = this.carriers.find(c => c.name === name);
    if (found !== undefined) return found;
    const maker = this.home.more?.maker(name);
    if (maker !== undefined) return this.#adopt(maker);
    throw new RpcError('ERR_RPC_NO_CARRIER', `no carrier "${String(name)}"`, {
      expected: this.carriers.map(c => c.name).join(', '),
    });
  }

  /** One more carrier: servers that were not told by which ones serve on it, too. All of them, or there is none. */
  #adopt(maker: CarrierMaker): Carrier {
    const carrier = maker(this.carriers.length, this);
    const made: (() => void)[] = [];
    const news: ServePlace[] = [];
    try {
      for (const { wish, places, every } of this.#served) {
        const place = every ? carrier.listen({ ...wish, port: places[0].port }) : undefined;
        if (place === undefined || place instanceof Promise) continue;
        news.push(place);
        made.push(() => places.push(place));
      }
    } catch (error) {
      for (const place of news) place.close();
      carrier.close();
      carrier.end();
      this.flush();
      throw error;
    }
    this.carriers.push(carrier);
    for (const add of made) add();
    return carrier;
  }

  get carrier(): string {
    return this.#current.name;
  }

  // ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Somebody to call. @throws EtherloomError ERR_ADDRESS; RpcError ERR_RPC_OPTIONS */
  peer(address: string, port: number): RpcPeer {
    const key = `${address} ${port}`;
    const known = this.#peers.get(key);
    if (known !== undefined) {
      known.used = true;
      return known;
    }
    if (!Number.isInteger(port) || port < 1 || port > 65535)
      throw new RpcError('ERR_RPC_OPTIONS', `port: ${String(port)}`, { expected: '1 to 65535' });
    const peer = new RpcPeer(address, port);
    if (this.#peers.size >= MOST_PEERS) this.#forgetPeer();
    this.#peers.set(key, peer);
    return peer;
  }

  /** Forgets the oldest of those that were not asked for lately; its calls and its connection end as they would. */
  #forgetPeer(): void {
    for (const [key, peer] of this.#peers) {
      this.#peers.delete(key);
      if (!peer.used) return;
      peer.used = false;
      this.#peers.set(key, peer);
    }
  }

  /** Peers that it knows. */
  get peers(): number {
    return this.#peers.size;
  }

  get inFlight(): number {
    return this.#calls.inFlight;
  }

  /**
   * Calls. Returns the number of the call, which is its own until its event was told; 0: there is no room now.
   * @throws RpcError EMSGSIZE, ERR_RPC_OPTIONS, ERR_RPC_CLOSED
   */
  begin(peer: RpcPeer, body: Uint8Array | Outgoing, tag: unknown, deadlineMs?: number, own = false): number {
    this.#open();
    if (body.length > MOST_MESSAGE)
      throw new RpcError('EMSGSIZE', `a request of ${body.length} bytes`, {
        expected: `${MOST_MESSAGE} at most`,
      });
    checkDeadline(deadlineMs);
    const call = this.#calls.take();
    if (call === undefined) return 0;
    call.tag = tag;
    call.peer = peer;
    call.carrier = this.#current;
    if (!this.#current.begin(call, body, own)) {
      this.#calls.give(call);
      return 0;
    }
    this.stir();
    const { patienceMs } = this.#current;
    const most = patienceMs === undefined ? deadlineMs : Math.min(patienceMs, deadlineMs ?? patienceMs);
    if (most !== undefined) this.#calls.setDeadline(call, this.home.nowMs() + most);
    return Calls.number(call);
  }

  /** More of a body has come. */
  goOn(number: number): void {
    const call = this.#calls.numbered(number);
    call?.carrier.goOn(call.link);
  }

  /** Gives up a call: no event tells of it. Whether it was in flight. */
  cancel(number: number): boolean {
    const call = this.#calls.numbered(number);
    if (call === undefined) return false;
    call.carrier.cancel(call);
    this.#calls.give(call);
    return true;
  }

  // ── what carriers say ─────────────────────────────────────────────────────────────────────────────────────────

  find(call: number, turn: number): Call | undefined {
    return this.#calls.find(call, turn);
  }

  over(call: Call): void {
    this.#calls.give(call);
  }

  failAll(holds: (call: Call) => boolean, code: string, reason: string): void {
    for (const call of this.#calls.table) if (call.live && holds(call)) this.fail(call, code, reason);
  }

  fail(call: Call, code: string, reason: string): void {
    if (!call.live) return;
    // No answer is its any more; its place is another's when it was told.
    call.live = false;
    this.#failures.push({ call, code, reason });
  }

  cancelled(kept: KeptRequest): void {
    if (kept.over) return;
    kept.over = true;
    this.#cancelled.push(kept);
  }

  later(work: () => void): void {
    this.#later.push(work);
  }

  #catchUp(): void {
    for (const work of this.#later.splice(0)) work();
  }

  stir(): void {
    if (this.#lookMs > this.#tickedMs + TICK_MS) this.#lookMs = this.#tickedMs + TICK_MS;
  }

  nowMs(): number {
    return this.home.nowMs();
  }

  // ── serving ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** @throws RpcError ERR_RPC_CLOSED */
  #open(): void {
    if (this.#closed) throw new RpcError('ERR_RPC_CLOSED', 'the RPC was closed');
  }

  /** Takes requests at a port, on every carrier, or those that are named. @throws RpcError ERR_RPC_CLOSED */
  async listen(wish: ListenWish, carriers?: readonly string[]): Promise<ServePlace> {
    this.#open();
    const places: ServePlace[] = [];
    const served = { wish, places, every: carriers === undefined };
    const all = [...this.carriers.map(c => c.name), ...(this.home.more?.names() ?? [])];
    const names = carriers ?? [...new Set(all)];
    // Places at ports that are not free on every carrier, kept so that another is chosen.
    const held: ServePlace[] = [];
    this.#listening++;
    const close = (): void => {
      this.#served.delete(served);
      for (const place of places) place.close();
    };
    try {
      // One whose ports are fewer chooses for the others.
      const sorted = [...names].sort((a, b) => +(b === 'homa') - +(a === 'homa'));
      while (!(await this.#listenAt(wish, sorted, places, held.length < MOST_HELD)))
        held.push(...places.splice(0));
      this.#open();
    } catch (error) {
      close();
      // Whatever else became of it meanwhile.
      this.#open();
      throw error;
    } finally {
      this.#listening--;
      for (const place of held) place.close();
    }
    this.#served.add(served);
    return { port: places[0]?.port ?? wish.port, close };
  }

  /** Fills `places`. False: the port that the first of them chose is another's on one of the others. */
  async #listenAt(
    wish: ListenWish,
    names: readonly string[],
    places: ServePlace[],
    again: boolean,
  ): Promise<boolean> {
    // A carrier that is new here has servers of its own to find room for: what it finds taken is no other port's fault.
    const carriers = names.map(name => this.named(name));
    try {
      for (const carrier of carriers)
        places.push(await carrier.listen({ ...wish, port: places[0]?.port ?? wish.port }));
      return true;
    } catch (error) {
      if (!again || wish.port !== 0 || places.length === 0) throw error;
      if (!codeOf(error).endsWith('EADDRINUSE')) throw error;
      return false;
    }
  }

  // ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Fills `into` with what happened, at most `most` events, and returns how many: objects are used again, and what the last
   * poll told of is given back.
   */
  poll(into: RpcEvent[], most = Number.MAX_SAFE_INTEGER): number {
    this.done();
    // What comes to a listener that the stack was asked for waits until it is there.
    if (this.#listening === 0) this.home.news();
    return this.take(into, most);
  }

  /** Gives back what the last poll told of. */
  done(): void {
    const { carriers } = this;
    for (let i = 0; i < carriers.length; i++) carriers[i].done();
    this.pool.reclaim();
  }

  /** The rest of a poll, when carriers have had the news. */
  take(into: RpcEvent[], most: number): number {
    const { events, carriers } = this;
    events.list = into;
    events.n = 0;
    events.most = most;
    const nowMs = this.home.nowMs();
    if (this.#later.length > 0) this.#catchUp();
    if (nowMs >= this.#lookMs) this.#tick(nowMs);
    if (this.#calls.nextMs <= nowMs) this.#lateCalls(nowMs);
    if (this.#failures.length > 0 || this.#cancelled.length > 0) this.#tell(events);
    const n = carriers.length;
    const first = this.#first;
    for (let i = 0; i < n && !events.full; i++) {
      const at = (first + i) % n;
      if (!carriers[at].ready) continue;
      carriers[at].work(events);
      this.stir();
      // Whoever filled the batch has had its turn: not whoever found it full.
      if (events.full) this.#first = (at + 1) % n;
    }
    return events.n;
  }

  /** Ends what is late, as a poll does. Returns `ready`. */
  look(): boolean {
    const nowMs = this.home.nowMs();
    if (this.#later.length > 0) this.#catchUp();
    if (nowMs >= this.#lookMs) this.#tick(nowMs);
    if (this.#calls.nextMs <= nowMs) this.#lateCalls(nowMs);
    return this.ready;
  }

  #tick(nowMs: number): void {
    this.#tickedMs = nowMs;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const carrier of this.carriers) nextMs = Math.min(nextMs, carrier.tick(nowMs));
    this.#lookMs = Math.max(nextMs, nowMs + TICK_MS);
    // Whoever was ended hears of it: nobody may poll for long.
    this.flush();
  }

  #lateCalls(nowMs: number): void {
    for (const call of this.#calls.late(nowMs)) {
      const { peer, carrier } = call;
      carrier.cancel(call);
      this.fail(
        call,
        'ETIMEDOUT',
        whyFailed(peer, carrier.name, 'ETIMEDOUT', 'no answer before the deadline'),
      );
    }
  }

  #tell(events: Events): void {
    while (this.#failures.length > 0 && !events.full) {
      const { call, code, reason } = this.#failures.shift()!;
      const event = events.next();
      event.carrier = call.carrier;
      event.link = undefined;
      event.service = undefined;
      event.kind = 'failed';
      event.tag = call.tag;
      event.code = code;
      event.reason = reason;
      event.length = 0;
      event.first = 0;
      event.part = undefined;
      this.#calls.give(call);
    }
    while (this.#cancelled.length > 0 && !events.full) {
      const event = events.next();
      event.kind = 'cancelled';
      const kept = this.#cancelled.shift()!;
      event.tag = kept.tag;
      // Who has not said otherwise works on it no more.
      if (!kept.held) kept.letGo();
      event.part = undefined;
    }
  }

  /** Tags of requests that nobody waits for, of which no poll will tell: it is closed. */
  takeCancelled(): unknown[] {
    return this.#cancelled.splice(0).map(({ tag }) => tag);
  }

  /** Whether the next poll has something without any news. */
  get ready(): boolean {
    if (this.#failures.length > 0 || this.#cancelled.length > 0 || this.#later.length > 0) return true;
    return this.carriers.some(c => c.ready);
  }

  /** When somebody may be late next, a call or a peer, ms of its clock: a poll is due then, news or not. */
  get nextMs(): number {
    return Math.min(this.#calls.nextMs, this.#lookMs);
  }

  flush(): void {
    this.home.flush();
  }

  /**
   * Ends everything: calls in flight fail with ERR_RPC_CLOSED, which one more poll tells of. What was answered is sent on for
   * as long as somebody calls `settle`.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { places } of [...this.#served]) for (const place of places) place.close();
    this.#served.clear();
    for (const call of this.#calls.table) {
      if (!call.live) continue;
      // Not every carrier has something that ends with it: the server is told that nobody waits.
      call.carrier.cancel(call);
      this.fail(call, 'ERR_RPC_CLOSED', 'the RPC was closed');
    }
    for (const carrier of this.carriers) carrier.close();
    // The memory that events show is the application's, which goes.
    this.done();
    this.flush();
  }

  /** After `close`: goes on with what was answered; what else comes is nobody's. Whether some of it is left. */
  settle(): boolean {
    const { events, carriers } = this;
    this.done();
    this.home.news();
    events.list = this.#unheard;
    events.n = 0;
    events.most = Number.MAX_SAFE_INTEGER;
    const nowMs = this.home.nowMs();
    if (nowMs >= this.#lookMs) this.#tick(nowMs);
    for (const carrier of carriers) if (carrier.ready) carrier.work(events);
    this.done();
    this.#unheard.length = 0;
    this.flush();
    return this.settling;
  }

  get settling(): boolean {
    return this.carriers.some(c => c.settling);
  }

  /** What is not sent by now is not sent any more. */
  end(): void {
    for (const carrier of this.carriers) carrier.end();
    this.flush();
  }
}
