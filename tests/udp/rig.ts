/** A stack whose only port is in hand: packets go in by hand, and what it sends is looked at. One inline lane, virtual time. */
import { Engine } from '../../host/engine/engine.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { Stack, type StackOptions } from '../../host/net/stack.js';
import { HostNic } from '../../host/nic/index.js';
import { parseMac } from '../../host/wire/address.js';
import { type PacketFields, packet, read, type Seen } from '../support/packets.js';
import { assert } from '../support/suite.js';

/** The stack's addresses, and a neighbour's, by family. */
export const OURS = { 4: '10.0.0.1', 6: 'fd00::1' } as const;
export const THEIRS = { 4: '10.0.0.2', 6: 'fd00::2' } as const;
const THEIR_MAC = '02:00:00:00:00:02';
const PORT = 4000;

export class Bench {
  readonly mac: string;

  constructor(
    readonly engine: Engine,
    readonly nic: HostNic,
    readonly stack: Stack,
  ) {
    this.mac = [...nic.port.mac].map(b => b.toString(16).padStart(2, '0')).join(':');
  }

  /** A datagram from the neighbour. */
  datagram(f: PacketFields & { family?: 4 | 6 } = {}): Uint8Array {
    const { family = 4, ...rest } = f;
    return packet({
      ...{ src: THEIRS[family], dst: OURS[family], protocol: 'udp', sport: PORT, dport: 53 },
      ...{ smac: THEIR_MAC, dmac: this.mac },
      ...rest,
    });
  }

  /** Lets it arrive, and the lane work. */
  arrive(...frames: Uint8Array[]): void {
    for (const f of frames) assert.ok(this.nic.send(f));
    this.run();
  }

  run(): void {
    this.stack.burst.poll([]);
    this.engine.run({ untilNs: this.engine.now() });
    this.stack.burst.poll([]);
  }

  later(ms: number): void {
    this.engine.advance(BigInt(Math.round(ms * 1e6)));
    this.run();
  }

  /** What the stack has sent. */
  sent(): { frame: Uint8Array; seen: Seen }[] {
    return this.nic.receive().map(({ data }) => ({ frame: data, seen: read(data) }));
  }

  /** Counters of datagrams since the last call. */
  counted(): Record<string, number> {
    const now = this.stack.counters('datagrams');
    const out: Record<string, number> = {};
    for (const [name, n] of Object.entries(now))
      if (n !== (this.#last[name] ?? 0)) out[name] = n - (this.#last[name] ?? 0);
    this.#last = now;
    return out;
  }
  #last: Record<string, number> = {};
}

/** @param known whether the neighbour's hardware address is given */
export async function bench(
  work: (b: Bench) => Promise<void> | void,
  { known = true, mtu = 1500, ...more }: { known?: boolean; mtu?: number } & Partial<StackOptions> = {},
): Promise<void> {
  const nic = new HostNic({ name: 'nic', mtu });
  const engine = await Engine.create({
    ...{ nics: [nic], inline: true, clock: 'virtual', warmMs: 0, frames: 4096, seed: 1 },
    streams: { count: 64, bytes: 16 << 20, apps: 4 },
  });
  try {
    const own = [`${OURS[4]}/24`, `${OURS[6]}/64`].map(address => ({ address, dad: false }));
    const stack = await Stack.create({
      engine,
      ports: { nic: { addresses: own, announce: false } },
      ...(known
        ? { neighbours: [4, 6].map(f => ({ port: 'nic', address: THEIRS[f as 4 | 6], mac: THEIR_MAC })) }
        : {}),
      ...more,
    });
    await engine.start();
    const b = new Bench(engine, nic, stack);
    b.run();
    nic.receive();
    await work(b);
    await stack.close();
    const s = takeStreamLedger(engine.arena);
    assert.is(s.open + s.closed + s.lost + s.lostIds + s.used, 0, JSON.stringify(s));
  } finally {
    const { ledger } = await engine.stop();
    assert.is(ledger.lost + ledger.doubled, 0);
  }
}

export const macOf = parseMac;
