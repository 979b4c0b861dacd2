/**
 * What a script plays on: a host under test, the script's end of connections to it, and its applications. The methods
 * of the first flow stand here directly, as most scripts have only one.
 */
import { App, ask } from './app.js';
import type { Answer, Host, Moment, SocketOption } from './driver.js';
import { Flow, type In, type Out, type Seen, type Wire } from './flow.js';
import { type IcmpFields, icmpError } from './icmp.js';
import { decode, type Options } from './segment.js';
import { placeOf, ScriptFailure, Transcript } from './transcript.js';
import { any, atLeast } from './want.js';

/** The host's listening port and first connecting port; the script's ports. */
const SERVICE = 7000;
const LOCAL = 21000;
const PEER_CLIENT = 40000;
const PEER_SERVICE = 80;

/** How the script opens or takes a connection. */
export interface Opening {
  mss?: number;
  wscale?: number;
  sackOk?: true;
  ts?: boolean;
  /** ECN is asked for, or granted. */
  ecn?: boolean;
  win?: number;
  /** Time between the host's SYN or SYN-ACK and the answer: the first round trip. */
  rttMs?: number;
  /** Options that the application sets before. */
  set?: [SocketOption, number][];
}

export class Stage implements Wire {
  readonly transcript = new Transcript();
  last: Moment = {};
  readonly #flows = new Map<string, Flow>();
  /** The flow of plain scripts: to the host's service. */
  flow: Flow;
  readonly #strays: { at: number; text: string }[] = [];
  #sockets = 0;
  #peers = 0;
  #locals = 0;

  constructor(
    readonly host: Host,
    /** Initial sequence number of the first flow. */
    iss = 0x3b9aca00,
  ) {
    this.flow = this.flowTo(SERVICE, { iss });
  }

  /** Another of the script's ports speaking to a port of the host. */
  flowTo(port = SERVICE, options: { iss?: number; peerPort?: number } = {}): Flow {
    const n = this.#peers++;
    const peerPort = options.peerPort ?? PEER_CLIENT + n;
    const flow = new Flow(this, port, peerPort, options.iss ?? 0x10000000 + n * 0x01000000);
    this.#flows.set(`${port} ${peerPort}`, flow);
    return flow;
  }

  sort(): void {
    for (const arrival of this.host.arrived.splice(0)) {
      const decoded = decode(arrival.packet);
      if (!decoded) continue;
      const { segment, ends } = decoded;
      if (ends.dst !== this.host.peer) continue;
      const flow = segment
        ? this.#flows.get(`${segment.srcPort} ${segment.dstPort}`)
        : decoded.icmp
          ? undefined
          : this.flow;
      if (flow) flow.queue.push({ arrival, decoded });
      else this.#strays.push({ at: arrival.at, text: decoded.text });
    }
  }

  fail(what: string, details: string[], stack: string | undefined): never {
    throw this.flow.failure(what, details, stack);
  }

  send(flags: string, out: Out = {}): void {
    this.flow.send(flags, out);
  }

  gets(flags: string, want: In = {}): Promise<Seen> {
    return this.flow.gets(flags, want);
  }

  acked(ack?: number, want?: In): Promise<Seen> {
    return this.flow.acked(ack, want);
  }

  drain(ms?: number): Promise<Seen[]> {
    return this.flow.drain(ms);
  }

  only(flags: string, ms: number, want?: In): Promise<Seen[]> {
    return this.flow.only(flags, ms, want);
  }

  /** Sends an ICMP error about the last packet of a flow. */
  icmp(fields: IcmpFields, flow = this.flow): void {
    const packet = icmpError(this.host.peer, this.host.address, flow, fields);
    this.last = this.host.inject(packet);
    this.transcript.note(this.last, `→ ICMP ${fields.error}${fields.mtu ? ` mtu ${fields.mtu}` : ''}`);
  }

  /** Injects a packet made by hand. */
  raw(packet: Uint8Array, text: string): void {
    this.last = this.host.inject(packet);
    this.transcript.note(this.last, `→ ${text}`);
  }

  /** Time passes; what comes waits. */
  async sleep(ms: number): Promise<void> {
    const deadline = (await this.host.now()) + ms;
    while (await this.host.pass(deadline));
    this.last = { at: deadline };
  }

  /** Nothing comes for so long. @throws ScriptFailure */
  async silence(ms: number): Promise<void> {
    const { stack } = new Error();
    const deadline = (await this.host.now()) + ms;
    do {
      this.sort();
      for (const flow of this.#flows.values())
        if (flow.queue.length && flow.queue[0].arrival.at <= deadline)
          throw flow.failure(`something came, silence for ${ms} ms was expected`, [], stack);
      if (this.#strays.some(s => s.at <= deadline))
        this.fail(
          `something came, silence for ${ms} ms was expected`,
          this.#strays.map(s => s.text),
          stack,
        );
    } while (await this.host.pass(deadline));
    this.last = { at: deadline };
  }

  /** ICMP messages and segments of no flow that came since the last call. */
  strays(): string[] {
    this.sort();
    return this.#strays.splice(0).map(s => s.text);
  }

  async listen(
    options: { port?: number; backlog?: number; set?: [SocketOption, number][] } = {},
  ): Promise<App> {
    const { stack } = new Error();
    const { port = SERVICE, backlog = 16, set = [] } = options;
    const socket = this.#sockets++;
    this.#must(await ask(this, { do: 'listen', socket, port, backlog, options: set }), 'listen', stack);
    return new App(this, socket, port, 0);
  }

  /** The listener hands out a connection; of which flow the script knows. */
  async accept(listener: App, flow = this.flow): Promise<App> {
    const { stack } = new Error();
    const as = this.#sockets++;
    this.#must(await ask(this, { do: 'accept', socket: listener.socket, as }), 'accept', stack);
    return new App(this, as, listener.port, flow.peerPort);
  }

  /** The listener has nothing to hand out. */
  async acceptsNothing(listener: App): Promise<void> {
    const { stack } = new Error();
    const answer = await ask(this, { do: 'accept', socket: listener.socket, as: this.#sockets++ });
    if (answer.error !== 'EAGAIN')
      this.fail(
        'accept was answered differently',
        ['expected EAGAIN', `got      ${answer.error ?? 'a connection'}`],
        stack,
      );
  }

  #must(answer: Answer, call: string, stack: string | undefined): void {
    if (answer.error) this.fail(`${call} failed: ${answer.error}`, [], stack);
  }

  /** The host's application begins to connect to the script; `this.flow` becomes that connection. */
  async connect(
    options: { set?: [SocketOption, number][]; iss?: number; peerPort?: number } = {},
  ): Promise<App> {
    const { stack } = new Error();
    const { set = [], peerPort = PEER_SERVICE + this.#locals } = options;
    const from = LOCAL + this.#locals++;
    const socket = this.#sockets++;
    this.flow = this.flowTo(from, { ...options, peerPort });
    const answer = await ask(this, { do: 'connect', socket, from, port: peerPort, options: set });
    if (answer.error && answer.error !== 'EINPROGRESS') this.#must(answer, 'connect', stack);
    return new App(this, socket, from, peerPort);
  }

  #options(o: Opening, flow: Flow, ecr: number): Options & { ts?: [number, number] } {
    const { mss = 1000, wscale, sackOk } = o;
    return {
      mss,
      ...(sackOk ? { sackOk } : {}),
      ...(o.ts ? { ts: [flow.tsVal, ecr] as [number, number] } : {}),
      ...(wscale === undefined ? {} : { wscale }),
    };
  }

  /** Three-way handshake begun by the script, up to where the host must accept. */
  async handshake(o: Opening = {}, flow = this.flow): Promise<void> {
    if (o.win !== undefined) flow.win = o.win;
    flow.send(o.ecn ? 'SYN ECE CWR' : 'SYN', this.#options(o, flow, 0));
    await flow.gets(o.ecn ? 'SYN ACK ECE' : 'SYN ACK', { ack: 1, mss: any });
    flow.ecn = o.ecn === true;
    if (o.rttMs) await this.sleep(o.rttMs);
    flow.send('ACK');
  }

  /** The host listens, the script connects: the accepted connection. */
  async accepted(o: Opening = {}): Promise<App> {
    const listener = await this.listen({ set: o.set });
    await this.handshake(o);
    return this.accept(listener);
  }

  /** The host connects to the script: the established connection. */
  async connected(o: Opening = {}): Promise<App> {
    const app = await this.connect({ set: o.set });
    const { flow } = this;
    if (o.win !== undefined) flow.win = o.win;
    await flow.gets(o.ecn ? 'SYN ECE CWR' : 'SYN', { mss: any });
    if (o.rttMs) await this.sleep(o.rttMs);
    flow.send(o.ecn ? 'SYN ACK ECE' : 'SYN ACK', this.#options(o, flow, flow.tsRecent));
    flow.ecn = o.ecn === true;
    await flow.gets('ACK', { ack: 1, win: atLeast(1) });
    await app.stateIs('ESTABLISHED');
    return app;
  }

  /** The connection, with nothing in flight, still carries data both ways. */
  async alive(app: App, flow = this.flow): Promise<void> {
    flow.send('PSH ACK', { len: 3 });
    await flow.acked();
    await app.reads(3);
    await app.writes(3);
    await flow.gets('ACK', { ack: flow.next, len: 3 });
    flow.send('ACK');
  }

  /** State of a connection, as RFC 9293 names it. */
  async stateIs(state: string, of: { port: number; peerPort: number } = this.flow): Promise<void> {
    const { stack } = new Error();
    const { text } = await ask(this, { do: 'state', port: of.port, peerPort: of.peerPort });
    if (text !== state)
      this.fail('the connection is in another state', [`expected ${state}`, `got      ${text}`], stack);
  }

  /** Ends a script: nothing may have come that it did not look at. */
  async finish(): Promise<void> {
    await this.host.now();
    this.sort();
    for (const flow of this.#flows.values())
      if (flow.queue.length) throw flow.failure('the script is over, but more has come', [], undefined);
    if (this.#strays.length)
      throw new ScriptFailure(
        'the script is over, but something else has come',
        this.#strays.map(s => s.text),
        placeOf(undefined),
        this.transcript,
      );
  }
}
