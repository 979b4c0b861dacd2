/** A host with Homa whose wire is the test: packets go in as they are made here, what leaves is looked at one by one. */
import { Engine } from '../../host/engine/engine.js';
import { Stack } from '../../host/net/stack.js';
import { HostNic } from '../../host/nic/index.js';
import type { StreamApp } from '../../host/streams/stream_app.js';
import { StreamApps } from '../../host/streams/stream_apps.js';
import { type HomaOptions, homa } from '../../host/transports/homa/index.js';
import type { LoadedMessages, MessageView } from '../../host/transports/messages.js';
import { recordsOf } from '../../host/transports/records.js';
import { parseMac } from '../../host/wire/address.js';
import { HOMA_RESEND_ALL, type HomaPacket, type HomaTypeName, parseHoma } from '../../host/wire/homa.js';
import type { Rounds } from '../tcp/pair.js';
import { homaFrame } from './packets.js';
import { ClientSlot, type Message, Server, workClient } from './slots.js';

export const PORT = 99;
/** Of who sends, unless it is said otherwise. */
export const PEER = '10.0.0.1';
const OWN = '10.0.0.2';
const MAC = '02:00:00:00:00:01';
const SPORT = 0x8123;

export interface ForgedOptions {
  streams?: number;
  /** Of their rings. */
  bytes?: number;
  lanes?: number;
  homa?: HomaOptions;
  answer?: (request: Message) => Uint8Array | undefined;
  /** Nobody's MAC is known. */
  alone?: boolean;
  /** Memory for objects of programs. */
  objectBytes?: number;
  /** Makes the rounds instead of the engine, which is not started then. */
  rounds?: (engine: Engine, host: { stack: Stack; messages: LoadedMessages }) => Rounds;
}

export class Forged {
  /** Homa packets that left, and to whom. */
  readonly out: { packet: HomaPacket; to: string }[] = [];
  readonly slots: ClientSlot[] = [];

  private constructor(
    readonly engine: Engine,
    readonly nic: HostNic,
    readonly stack: Stack,
    readonly messages: LoadedMessages,
    readonly view: MessageView,
    readonly server: Server,
    readonly caller: StreamApp,
    readonly rounds: Rounds,
  ) {}

  static async create(o: ForgedOptions = {}): Promise<Forged> {
    const { streams = 64, bytes = 128 << 20, lanes = 1, answer = (m: Message) => m.bytes } = o;
    const nic = new HostNic({ name: 'eth', mac: parseMac('02:00:00:00:00:02'), queues: lanes });
    const engine = await Engine.create({
      ...{ nics: [nic], inline: true, clock: 'virtual', warmMs: 0, frames: 8192, mapBytes: 64 << 20 },
      ...{
        objectBytes: o.objectBytes,
        seed: 1,
        lanes,
        streams: { count: streams, bytes, apps: 8 },
      },
    });
    const apps = StreamApps.of(engine);
    const known = [PEER, 'fd00::1', ...Array.from({ length: 60 }, (_, i) => `10.0.0.${10 + i}`)];
    const stack = await Stack.create({
      engine,
      messages: homa({ seed: 1, ...o.homa }),
      ports: {
        eth: {
          addresses: [`${OWN}/24`, 'fd00::2/64'].map(address => ({ address, dad: false })),
          announce: false,
        },
      },
      neighbours: o.alone ? [] : known.map(address => ({ port: 'eth', address, mac: MAC })),
    });
    const messages = stack.messages!;
    const app = apps.open();
    messages.serve({ app: app.number, port: PORT });
    if (!o.rounds) await engine.start();
    const rounds = o.rounds?.(engine, { stack, messages }) ?? engine;
    const view = messages.transport.view(engine.arena, messages.shared);
    return new Forged(engine, nic, stack, messages, view, new Server(app, answer), apps.open(), rounds);
  }

  // ── packets ───────────────────────────────────────────────────────────────────────────────────────────────────

  put(packet: HomaPacket, from: { src?: string; dst?: string; queue?: number } = {}): void {
    const { src = PEER, dst = OWN, queue } = from;
    if (!this.nic.send(homaFrame(packet, { src, dst }), queue)) throw new Error('the queue is full');
  }

  /** DATA of call `seq` of the peer's slot. */
  data(seq: bigint, slot: number, text: string | Uint8Array, more: object = {}): HomaPacket {
    const payload = Uint8Array.from(typeof text === 'string' ? Buffer.from(text) : text);
    const lengths = { messageLength: payload.length, incoming: payload.length, offset: 0 };
    const rest = { ack: { clientId: 0n, serverPort: 0 }, cutoffVersion: 0, retransmit: false };
    return this.control('DATA', seq, slot, { ...lengths, ...rest, payload, ...more });
  }

  control(type: HomaTypeName, seq: bigint, slot: number, more: object = {}): HomaPacket {
    const senderId = (seq << 25n) | (BigInt(slot) << 1n);
    return { type, sport: SPORT, dport: PORT, senderId, marked: true, ...more } as HomaPacket;
  }

  ack(seq: bigint, slot: number): HomaPacket {
    const clientId = (seq << 25n) | (BigInt(slot) << 1n);
    return this.control('ACK', seq, slot, { acks: [{ clientId, serverPort: PORT }] });
  }

  /** Asks for all of an answer. */
  ask(seq: bigint, slot: number): HomaPacket {
    return this.control('RESEND', seq, slot, { offset: 0, length: HOMA_RESEND_ALL, priority: 7 });
  }

  /** Types of what left since the last look. */
  types(): HomaTypeName[] {
    return this.out.splice(0).map(o => o.packet.type);
  }

  /** A client's slot that this host calls by. */
  open(id: number): ClientSlot {
    const slot = new ClientSlot(this.caller.end(id));
    this.slots.push(slot);
    return slot;
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** As long as there is work now. How often the engine was asked. */
  step(): number {
    let turns = 0;
    for (let quiet = 0; quiet < 3; quiet++) {
      this.server.work();
      workClient(this.caller, this.slots);
      while (this.rounds.step() !== 0) turns++;
      for (let list = this.nic.receive(); list.length > 0; list = this.nic.receive()) {
        quiet = 0;
        for (const { data } of list) this.#left(data);
      }
    }
    return turns;
  }

  #left(frame: Uint8Array): void {
    // IPv4 without options: what these tests talk.
    if (frame[12] !== 8 || frame[23] !== 146) return;
    const length = ((frame[16] << 8) | frame[17]) - 20;
    const packet = parseHoma(frame.subarray(34, 34 + length));
    if ('problem' in packet) throw new Error(`a packet that is none left: ${String(packet.problem)}`);
    this.out.push({ packet, to: frame.subarray(30, 34).join('.') });
  }

  /** Lets time pass. How often something was due. */
  pass(ms: number): number {
    const { engine } = this;
    const until = engine.now() + BigInt(Math.round(ms * 1e6));
    for (let due = 0; ; due++) {
      this.step();
      const next = this.rounds.nextDueNs();
      if (next === undefined || next > until) {
        if (until > engine.now()) engine.advance(until - engine.now());
        this.step();
        return due;
      }
      if (next > engine.now()) engine.advance(next - engine.now());
    }
  }

  // ── what is known ─────────────────────────────────────────────────────────────────────────────────────────────

  get counters(): Record<string, number> {
    return this.messages.counters();
  }

  /** Requests that were executed. */
  get seen(): string[] {
    return this.server.requests.map(r => Buffer.from(r.message.bytes).toString());
  }

  /** Streams that are slots of servers. */
  get served(): number[] {
    const { streamCount } = this.engine.arena.header;
    return [...Array(streamCount).keys()].filter(id => this.view.info(id).state === 2);
  }

  /** Where a field of a map's value is: for what a lane that dies leaves there. */
  bytes(map: string, field: string, key = 0): { dv: DataView; at: number } {
    const { live } = this.messages as unknown as {
      live: { map(name: string): Parameters<typeof recordsOf>[0] };
    };
    const { at, stride, fields } = recordsOf(live.map(map));
    return { dv: this.engine.arena.dv, at: at + key * stride + fields[field].at };
  }

  word(map: string, key: number, field: string): { get(): number; set(n: number): void } {
    const { dv, at } = this.bytes(map, field, key);
    return { get: () => dv.getUint32(at, true), set: n => dv.setUint32(at, n, true) };
  }

  async close(): Promise<void> {
    const apps = StreamApps.of(this.engine);
    for (const app of [this.server.app, this.caller]) apps.close(app.number);
    this.pass(5);
    await this.stack.close();
    const { ledger } = await this.engine.stop();
    if (ledger.lost + ledger.doubled !== 0) throw new Error(JSON.stringify(ledger));
  }
}

/** A host for one claim. */
export async function forged(
  options: ForgedOptions,
  claim: (f: Forged) => void | Promise<void>,
): Promise<void> {
  const f = await Forged.create(options);
  await claim(f);
  await f.close();
}
