/** A forwarder between two wires whose far ends are the test: one lane, virtual time. */
import { Forwarder, type ForwarderCounters, type ForwarderOptions } from '../../host/forward/chain.js';
import { type ForwardInput, forwardConfig } from '../../host/forward/config.js';
import { REASONS, type Reason } from '../../host/forward/counters.js';
import { type ModelEnd, type ModelOptions, modelLink } from '../../host/nic/index.js';
import { type PacketFields, packet, read, type Seen } from '../support/packets.js';
import { assert } from '../support/suite.js';

export const CLIENT = '10.0.0.1';
export const CLIENT6 = 'fd00::1';
/** What clients call. */
export const FRONT = '10.0.0.2';
export const FRONT6 = 'fd00::2';
/** What backends see. */
export const REAR = '10.1.0.2';
export const REAR6 = 'fd01::2';
export const BACKEND = '10.1.0.1';
export const BACKEND6 = 'fd01::1';
export const CLIENT_MAC = '02:00:00:00:00:01';
export const BACKEND_MAC = '02:00:00:00:01:01';
/** Also the port that `request` comes from: its flow keeps it. */
export const FIRST_PORT = 40000;
/** The service of `input(1)`; with n hops the ports go on from here. */
export const PORT = 7996;
export const BACKEND_PORT = 8000;

/** A forwarder of so many hops for both families and protocols. */
export const input = (hops = 1, more: Partial<ForwardInput> = {}): ForwardInput => ({
  address: [FRONT, FRONT6],
  source: [REAR, REAR6],
  firstPort: FIRST_PORT,
  flows: 1024,
  services: [
    {
      ports: Array.from({ length: hops }, (_, i) => PORT + i),
      backends: [`${BACKEND}:${BACKEND_PORT}@${BACKEND_MAC}`, `[${BACKEND6}]:${BACKEND_PORT}@${BACKEND_MAC}`],
    },
  ],
  ...more,
});

export class Bench {
  private constructor(
    readonly forwarder: Forwarder,
    readonly clients: ModelEnd,
    readonly backends: ModelEnd,
  ) {}

  static async open(
    given: ForwardInput = input(),
    more: Partial<ForwarderOptions> & { links?: ModelOptions } = {},
  ): Promise<Bench> {
    const { links, ...options } = more;
    const front = modelLink({ name: 'front', ...links });
    const rear = modelLink({ name: 'rear', ...links });
    const forwarder = await Forwarder.create({
      config: forwardConfig(given),
      in: front.a,
      out: rear.a,
      firstSlot: 0,
      engine: { inline: true, clock: 'virtual', frames: 1024, warmMs: 0 },
      ...options,
    });
    await forwarder.start();
    return new Bench(forwarder, front.b, rear.b);
  }

  /** Sends from a client; what arrives at the backends and, should it be answered, at the clients. */
  forth(data: Uint8Array): Uint8Array[] {
    assert.ok(this.clients.send(data));
    this.forwarder.engine.run();
    return this.backends.receive().map(p => p.data);
  }

  back(data: Uint8Array): Uint8Array[] {
    assert.ok(this.backends.send(data));
    this.forwarder.engine.run();
    return this.clients.receive().map(p => p.data);
  }

  advance(seconds: number): void {
    this.forwarder.engine.advance(BigInt(Math.round(seconds * 1e9)));
  }

  counters(): ForwarderCounters {
    return this.forwarder.counters();
  }

  /** Packets counted at a hop by reason, those that are 0 left out. */
  counts(hop = 0): Partial<Record<Reason, number>> {
    const { counts } = this.counters().hops[hop];
    return Object.fromEntries(REASONS.map(r => [r, counts[r].packets] as const).filter(([, n]) => n > 0));
  }

  /** Stops; throws when a frame was lost. */
  async close(): Promise<void> {
    await this.forwarder.stop();
  }
}

/** Runs `body` with a forwarder; every frame is accounted for afterwards. */
export async function bench(
  body: (b: Bench) => unknown,
  given?: ForwardInput,
  more?: Parameters<typeof Bench.open>[1],
): Promise<void> {
  const b = await Bench.open(given, more);
  try {
    await body(b);
  } finally {
    await b.close();
  }
}

/** The one packet, read; its checksums must hold. */
export function one(packets: readonly Uint8Array[], what = 'one packet'): Seen & { bytes: Uint8Array } {
  assert.is(packets.length, 1, what);
  const seen = read(packets[0]);
  assert.ok(seen.sound, `${what}: checksums`);
  return { ...seen, bytes: packets[0] };
}

const isV6 = (f: PacketFields): boolean => (f.src ?? CLIENT).includes(':');

/** From a client to the service. IPv6 by the source address. */
export const request = (f: PacketFields = {}): Uint8Array =>
  packet({
    src: CLIENT,
    dst: isV6(f) ? FRONT6 : FRONT,
    sport: 40000,
    dport: PORT,
    smac: CLIENT_MAC,
    ...f,
  });

/** The backend's answer to a packet that arrived there. */
export const reply = (seen: Seen, f: PacketFields = {}): Uint8Array =>
  packet({
    src: seen.dst,
    dst: seen.src,
    sport: seen.dport,
    dport: seen.sport,
    protocol: seen.protocol === 17 ? 'udp' : 'tcp',
    smac: BACKEND_MAC,
    ...f,
  });

export const SYN = 2;
export const SYN_ACK = 18;
export const ACK = 16;
export const FIN_ACK = 17;
export const RST = 4;
