/** Our TCP in an engine as the scripts of tests/conformance see it: one host, script after script. */
import { StreamLayout, StreamRequest } from '../../host/layout/layout.gen.js';
import { HostNic } from '../../host/nic/index.js';
import type { Arrival, Setup } from '../conformance/tcp/driver.js';
import { familyOf, TcpEngine, words } from './engine.js';
import type { SetOptions } from './options.js';

const ETH = 14;
const MAC = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
const ADDRESSES = { 4: ['10.99.0.1', '10.99.0.2'], 6: ['fd99::1', 'fd99::2'] } as const;
const swap16 = (n: number): number => ((n & 255) << 8) | (n >> 8);
const TIME_WAIT = 6;
const CLOSE = 7;

/** What is looked at of a connection. */
export interface FlowView {
  state: number;
  error: number;
  flags: number;
  /** Positions in the receive stream. */
  urgent: number;
  received: number;
  fin: number;
  read: number;
  /** Bytes that may be read, and that may be written. */
  readable: number;
  room: number;
}

export class EngineCore {
  #family: 4 | 6 = 4;
  readonly #slots = new Map<number, number>();
  readonly #out: Arrival[] = [];
  readonly #urgents = new Map<number, number>();

  private constructor(
    readonly tcp: TcpEngine,
    readonly nic: HostNic,
  ) {}

  static async create(): Promise<EngineCore> {
    const nic = new HostNic({ name: 'wire' });
    const tcp = await TcpEngine.create({
      nics: [nic],
      addresses: { wire: [ADDRESSES[4][0], ADDRESSES[6][0]] },
      seed: 1,
    });
    for (const family of [4, 6] as const)
      tcp.engine.routes.addNeighbour({ port: 1, address: ADDRESSES[family][1], mac: '02:00:00:00:00:01' });
    return new EngineCore(tcp, nic);
  }

  /** Makes it as if it were new, but for the clock. */
  begin(setup: Setup): this {
    this.#family = setup.family ?? 4;
    for (const family of [4, 6] as const)
      this.tcp.engine.routes.add({
        prefix: family === 4 ? '10.99.0.0/24' : 'fd99::/64',
        port: 1,
        mtu: setup.mtu ?? 1500,
      });
    this.collect();
    return this;
  }

  close(): void {
    const { tcp } = this;
    tcp.unlistenAll();
    for (const end of [...tcp.ends.values()]) {
      if (end.released) continue;
      end.request(StreamRequest.ABORT);
      end.release();
    }
    this.#settle();
    // Handshakes under way are in no application's hands: they time out.
    this.advance(this.time + 300_000);
    tcp.ends.clear();
    tcp.accepted.length = 0;
    tcp.events.clear();
    this.#slots.clear();
    this.#urgents.clear();
    for (const name of ['tcp_timewaits', 'tcp_paths']) tcp.map(name).clear();
    this.collect();
  }

  get time(): number {
    return Number(this.tcp.engine.now()) / 1e6;
  }

  get due(): number | undefined {
    const ns = this.tcp.engine.nextDueNs();
    // In whole µs, so that a time that is a number of ms does not lie before it.
    return ns === undefined ? undefined : Math.max(this.time, Math.ceil(Number(ns) / 1000) / 1000);
  }

  #settle(): void {
    this.tcp.settle();
    for (const p of this.nic.receive()) this.#out.push({ at: this.time, packet: p.data.slice(ETH) });
  }

  inject(packet: Uint8Array): void {
    const frame = new Uint8Array(ETH + packet.length);
    frame.set(MAC);
    const v6 = packet[0] >> 4 === 6;
    frame.set(v6 ? [0x86, 0xdd] : [8, 0], 12);
    frame.set(packet, ETH);
    // What no frame holds, no card would have received.
    if (packet.length <= 1700) this.nic.send(frame);
    this.#settle();
  }

  collect(): Arrival[] {
    return this.#out.splice(0);
  }

  advance(to: number): void {
    const until = BigInt(Math.round(to * 1000)) * 1000n;
    const { engine } = this.tcp;
    this.#settle();
    for (;;) {
      const next = engine.nextDueNs();
      if (next === undefined || next > until) break;
      if (next > engine.now()) engine.advance(next - engine.now());
      engine.step();
      this.#settle();
    }
    if (until > engine.now()) engine.advance(until - engine.now());
  }

  listen(port: number, backlog: number, options: SetOptions): number {
    const slot = this.tcp.listen(this.#family, port, backlog, options);
    this.#slots.set(port, slot);
    return slot;
  }

  unlisten(port: number): void {
    this.tcp.unlisten(this.#family, port);
  }

  /** A connection of the listener that nobody has taken, 0 = none. */
  accepted(slot: number): number {
    const { tcp } = this;
    const i = tcp.accepted.findIndex(id => tcp.flow(id).listener === slot + 1);
    if (i < 0) return 0;
    tcp.took(slot);
    return tcp.accepted.splice(i, 1)[0];
  }

  connect(from: number, port: number, options: SetOptions): number {
    const [local, remote] = ADDRESSES[this.#family];
    const end = this.tcp.connect(local, from, remote, port, options);
    this.#settle();
    return end.id;
  }

  setOptions(id: number, options: SetOptions, urgents: number): void {
    this.tcp.setOptions(id, options, urgents);
    this.#settle();
  }

  request(id: number, bits: number): void {
    const end = this.tcp.ends.get(id)!;
    end.request(bits);
    if (bits & (StreamRequest.CLOSE | StreamRequest.ABORT)) end.release();
    this.#settle();
  }

  flow(id: number): FlowView {
    const f = this.tcp.flow(id) as unknown as Record<string, number>;
    const end = this.tcp.ends.get(id)!;
    let room = end.room;
    if (!room && end.capacity.send) {
      this.#settle(); // the ring is made
      room = end.room;
    }
    const position = (seq: number): number => (seq - f.irs - 1) >>> 0;
    const at = (this.tcp.engine.arena.header.streamsAt + id * StreamLayout.size + StreamLayout.rcvRead) >> 2;
    return {
      state: f.state,
      error: f.error,
      flags: f.flags,
      urgent: position(f.rcv_up),
      received: position(f.rcv_nxt),
      fin: position(f.fin_seq),
      read: this.tcp.engine.arena.u32[at],
      readable: end.readable,
      room,
    };
  }

  write(id: number, bytes: Uint8Array): void {
    this.tcp.ends.get(id)!.write(bytes);
  }

  flush(): void {
    this.#settle();
  }

  read(id: number, most: number): Uint8Array {
    const into = new Uint8Array(most);
    const n = this.tcp.ends.get(id)!.read(into);
    this.#settle();
    return into.slice(0, n);
  }

  /** The byte that is read after `offset` others. */
  peek(id: number, offset: number): number {
    for (const view of this.tcp.ends.get(id)!.readViews()) {
      if (offset < view.length) return view[offset];
      offset -= view.length;
    }
    throw new RangeError('that is not received');
  }

  state(port: number, peerPort: number): number {
    const [local, remote] = ADDRESSES[this.#family];
    const key = { remote: words(remote), local: words(local), rport: swap16(peerPort), lport: swap16(port) };
    const short = { ...key, remote: key.remote[0], local: key.local[0] };
    const id = familyOf(local) === 2 ? this.tcp.flowAt('tcp4', short) : this.tcp.flowAt('tcp6', key);
    if (id !== undefined) return this.tcp.flow(id).state;
    const late = this.tcp.map('tcp_timewaits').get(key) as { until_ns: bigint } | undefined;
    return late && late.until_ns > this.tcp.engine.now() ? TIME_WAIT : CLOSE;
  }
}
