/**
 * Two hosts with Homa and the path between them in the test's hand: each frame may be looked at, kept, or answered by a router.
 * For what the wires of models do not do: links that take less than the hosts', and those who say so.
 */
import { Engine } from '../../host/engine/engine.js';
import { Stack } from '../../host/net/stack.js';
import { HostNic } from '../../host/nic/index.js';
import type { StreamApp } from '../../host/streams/stream_app.js';
import { StreamApps } from '../../host/streams/stream_apps.js';
import { type HomaOptions, homa } from '../../host/transports/homa/index.js';
import type { ClientPlace, LoadedMessages, MessageView } from '../../host/transports/messages.js';
import { checksum } from '../support/packets.js';
import { ClientSlot, type Message, Server, workClient } from './slots.js';

export const ADDRESS = { 4: ['10.0.0.1', '10.0.0.2'], 6: ['fd00::1', 'fd00::2'] } as const;
export const PORT = 99;
const ETH = 14;
/** One way. */
const DELAY_NS = 50_000n;

export interface PathOptions {
  homa?: HomaOptions;
  answer?: (request: Message) => Uint8Array;
  /** Of the routes of the first host, and of the second. */
  mtu?: readonly [number | undefined, number | undefined];
}

/** What becomes of a frame: those that go on, none when it is lost. */
export type Way = (frame: Uint8Array, from: 0 | 1) => Uint8Array[];

interface Host {
  nic: HostNic;
  stack: Stack;
  messages: LoadedMessages;
  view: MessageView;
  app: StreamApp;
}

export class Path {
  way: Way = frame => [frame];
  readonly slots: ClientSlot[] = [];
  readonly #wire: { at: bigint; frame: Uint8Array; to: 0 | 1 }[] = [];

  private constructor(
    readonly engine: Engine,
    readonly hosts: readonly Host[],
    readonly client: ClientPlace,
    readonly server: Server,
  ) {}

  static async create({ answer = m => m.bytes, mtu, ...o }: PathOptions): Promise<Path> {
    const macs = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
    const nics = macs.map(
      (mac, i) =>
        new HostNic({
          name: `host${i}`,
          ringSlots: 4096,
          mac: Uint8Array.from(mac.split(':'), x => Number.parseInt(x, 16)),
        }),
    );
    const engine = await Engine.create({
      ...{ nics, inline: true, clock: 'virtual', warmMs: 0, frames: 8192, mapBytes: 64 << 20, seed: 1 },
      streams: { count: 64, bytes: 32 << 20, apps: 8 },
    });
    const apps = StreamApps.of(engine);
    const hosts: Host[] = [];
    for (const [i, nic] of nics.entries()) {
      const port = nic.name;
      const stack = await Stack.create({
        engine,
        messages: homa({ seed: 1, ...o.homa }),
        ports: {
          [port]: {
            addresses: [`${ADDRESS[4][i]}/24`, `${ADDRESS[6][i]}/64`].map(address => ({
              address,
              dad: false,
            })),
            announce: false,
          },
        },
        neighbours: ([4, 6] as const).map(f => ({ port, address: ADDRESS[f][1 - i], mac: macs[1 - i] })),
      });
      const narrow = mtu?.[i];
      for (const f of [4, 6] as const)
        if (narrow !== undefined)
          engine.routes.add({
            ...{ prefix: ADDRESS[f][1 - i], port: engine.port(port).ifindex, mtu: narrow },
            table: stack.network.table,
          });
      const messages = stack.messages!;
      const view = messages.transport.view(engine.arena, messages.shared);
      hosts.push({ nic, stack, messages, view, app: apps.open() });
    }
    const [a, b] = hosts;
    await engine.start();
    b.messages.serve({ app: b.app.number, port: PORT });
    return new Path(engine, hosts, a.messages.client({ app: a.app.number }), new Server(b.app, answer));
  }

  open(): ClientSlot {
    const [{ messages, app, nic }] = this.hosts;
    const { ifindex } = this.engine.port(nic.name);
    const slot = new ClientSlot(app.end(messages.openSlots(this.client, 1, { ifindex })[0]));
    this.slots.push(slot);
    return slot;
  }

  /** Calls; ms until it was answered, or failed. */
  call(slot: ClientSlot, family: 4 | 6, bytes: Uint8Array, limitMs = 5000): number {
    const from = this.engine.now();
    slot.call({ address: ADDRESS[family][1], port: PORT }, bytes);
    if (!this.run(() => slot.open === 0 || slot.failed, limitMs))
      throw new Error(`neither answered nor failed: ${JSON.stringify(this.counters)}`);
    return Number(this.engine.now() - from) / 1e6;
  }

  get counters(): Record<string, number>[] {
    return this.hosts.map(h => h.messages.counters());
  }

  inject(frame: Uint8Array, to: 0 | 1): void {
    this.#wire.push({ at: this.engine.now() + DELAY_NS, frame, to });
  }

  #settle(): void {
    for (let quiet = 0; quiet < 3; quiet++) {
      workClient(this.hosts[0].app, this.slots);
      this.server.work();
      while (this.engine.step() !== 0);
      for (const [i, { nic }] of this.hosts.entries())
        for (const { data } of nic.receive()) {
          quiet = 0;
          for (const frame of this.way(data.slice(), i as 0 | 1)) this.inject(frame, (1 - i) as 0 | 1);
        }
    }
  }

  /** Lets time pass until `done`, at most `limitMs`. Whether it was. */
  run(done: () => boolean, limitMs: number): boolean {
    const { engine } = this;
    const until = engine.now() + BigInt(Math.round(limitMs * 1e6));
    for (;;) {
      this.#settle();
      if (done()) return true;
      const first = this.#wire[0]?.at;
      const due = engine.nextDueNs();
      const next = first === undefined || (due !== undefined && due < first) ? due : first;
      if (next === undefined || next > until) {
        if (until > engine.now()) engine.advance(until - engine.now());
        return done();
      }
      if (next > engine.now()) engine.advance(next - engine.now());
      while (this.#wire.length && this.#wire[0].at <= engine.now()) {
        const { frame, to } = this.#wire.shift()!;
        if (!this.hosts[to].nic.send(frame)) throw new Error('the queue is full');
      }
    }
  }

  async close(): Promise<void> {
    const apps = StreamApps.of(this.engine);
    for (const { app } of this.hosts) apps.close(app.number);
    this.run(() => false, 5);
    for (const { stack } of this.hosts) await stack.close();
    const { ledger } = await this.engine.stop();
    if (ledger.lost + ledger.doubled !== 0) throw new Error(JSON.stringify(ledger));
  }
}

/** A router's word that a frame was too big for a link of `mtu`, about the bytes that RFC 1812 §4.3.2.3 has it quote. */
export function tooBig(frame: Uint8Array, mtu: number): Uint8Array {
  const v6 = frame[12] === 0x86;
  const head = v6 ? 40 : 20;
  const quote = frame.slice(ETH, ETH + Math.min(frame.length - ETH, 548));
  const from = v6 ? [0xfd, ...Array(14).fill(0), 0x77] : [10, 0, 0, 77];
  const to = v6 ? frame.slice(22, 38) : frame.slice(26, 30);
  const message = new Uint8Array(8 + quote.length);
  message.set(v6 ? [2, 0] : [3, 4]);
  new DataView(message.buffer).setUint32(4, mtu);
  message.set(quote, 8);
  const pseudo = v6 ? [...from, ...to, 0, 0, message.length >> 8, message.length & 255, 0, 0, 0, 58] : [];
  const odd = new Uint8Array(message.length + (message.length & 1));
  odd.set(message);
  const sum = checksum(Uint8Array.from(pseudo), odd);
  message.set([sum >> 8, sum & 255], 2);
  const out = new Uint8Array(ETH + head + message.length);
  out.set([...frame.subarray(6, 12), ...frame.subarray(0, 6), ...frame.subarray(12, 14)]);
  const dv = new DataView(out.buffer);
  if (v6) {
    out[ETH] = 0x60;
    dv.setUint16(ETH + 4, message.length);
    out.set([58, 64, ...from, ...to], ETH + 6);
  } else {
    out[ETH] = 0x45;
    dv.setUint16(ETH + 2, 20 + message.length);
    out.set([64, 1, 0, 0, ...from, ...to], ETH + 8);
    dv.setUint16(ETH + 10, checksum(out.subarray(ETH, ETH + 20)));
  }
  out.set(message, ETH + head);
  return out;
}

/** A path for one claim. */
export async function onPath(options: PathOptions, claim: (p: Path) => void): Promise<void> {
  const p = await Path.create(options);
  claim(p);
  await p.close();
}
