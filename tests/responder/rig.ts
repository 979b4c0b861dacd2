/** An engine that owns one end of a model link; the test is the station at the other. Virtual time, no announcements. */
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { type ModelEnd, modelLink } from '../../host/nic/index.js';
import type { Responder, ResponderOptions } from '../../host/responder/index.js';
import { parseIp, parseMac } from '../../host/wire/address.js';
import { checksum } from '../support/packets.js';

export const OURS = '02:00:00:00:00:01';
export const THEIRS = '02:00:00:00:00:02';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';

export interface Rig {
  engine: Engine;
  far: ModelEnd;
  responder: Responder;
  /** Sends a frame and returns what came back at the same instant. */
  ask(frame: Uint8Array): Uint8Array[];
  /** Lets time pass; what was sent meanwhile. */
  pass(ms: number): Uint8Array[];
}

export async function owned(
  options: Partial<ResponderOptions> = {},
  more: Partial<EngineOptions> = {},
): Promise<Rig> {
  const { a, b } = modelLink();
  const engine = await Engine.create({
    nics: [a],
    inline: true,
    clock: 'virtual',
    frames: 256,
    mapBytes: 1 << 18,
    ...more,
  });
  const responder = engine.respond(a.name, {
    addresses: ['10.0.0.1/24', { address: 'fd00::1/64', dad: false }],
    announce: false,
    linkLocal: false,
    ...options,
  });
  await engine.start();
  const pass = (ms: number): Uint8Array[] => {
    const until = engine.now() + BigInt(Math.round(ms * 1e6));
    const seen: Uint8Array[] = [];
    // In steps, as a host polls: what ages is looked at ten times a second.
    while (engine.now() < until) {
      const next = engine.now() + 100_000_000n;
      engine.run({ untilNs: next < until ? next : until });
      seen.push(...b.receive().map(p => p.data));
    }
    return seen;
  };
  const ask = (frame: Uint8Array): Uint8Array[] => {
    if (!b.send(frame)) throw new Error('the link is full');
    engine.run();
    return b.receive().map(p => p.data);
  };
  return { engine, far: b, responder, ask, pass };
}

const be16 = (n: number): number[] => [(n >> 8) & 255, n & 255];

export interface ArpFields {
  oper?: number;
  sha?: string;
  spa?: string;
  tha?: string;
  tpa?: string;
  /** Link-layer addresses; the sender's by default. */
  dst?: string;
  src?: string;
  vlan?: number;
  /** Zeros behind it, as Ethernet pads. */
  padding?: number;
}

/** An ARP packet; by default a request from 10.0.0.2 for 10.0.0.1. */
export function arp(f: ArpFields = {}): Uint8Array {
  const sha = f.sha ?? THEIRS;
  return Uint8Array.from([
    ...parseMac(f.dst ?? BROADCAST),
    ...parseMac(f.src ?? sha),
    ...(f.vlan === undefined ? [] : [0x81, 0, ...be16(f.vlan)]),
    0x08,
    0x06,
    ...[0, 1, 8, 0, 6, 4],
    ...be16(f.oper ?? 1),
    ...parseMac(sha),
    ...parseIp(f.spa ?? '10.0.0.2'),
    ...parseMac(f.tha ?? '00:00:00:00:00:00'),
    ...parseIp(f.tpa ?? '10.0.0.1'),
    ...new Uint8Array(f.padding ?? 0),
  ]);
}

export interface NdFields {
  type?: 135 | 136;
  src?: string;
  dst?: string;
  target?: string;
  flags?: number;
  /** Hardware address of the option; null for no option. */
  option?: string | null;
  hops?: number;
  code?: number;
  dmac?: string;
  smac?: string;
}

/** The solicited-node address of an address. */
export function solicitedNode(address: string): string {
  const b = parseIp(address);
  const hex = (i: number): string => b[i].toString(16).padStart(2, '0');
  return `ff02::1:ff${hex(13)}:${hex(14)}${hex(15)}`;
}

const mapped = (b: Uint8Array): number[] => [0x33, 0x33, ...b.slice(12)];

/** A neighbour message; by default a solicitation from fd00::2 for fd00::1, to its solicited-node address. */
export function nd(f: NdFields = {}): Uint8Array {
  const type = f.type ?? 135;
  const target = f.target ?? 'fd00::1';
  const src = parseIp(f.src ?? 'fd00::2');
  const dst = parseIp(f.dst ?? solicitedNode(target));
  const option = f.option === undefined ? THEIRS : f.option;
  const message = Uint8Array.from([
    type,
    f.code ?? 0,
    0,
    0,
    (f.flags ?? 0) >>> 24,
    0,
    0,
    0,
    ...parseIp(target),
    ...(option === null ? [] : [type === 135 ? 1 : 2, 1, ...parseMac(option)]),
  ]);
  message.set(
    be16(checksum(Uint8Array.from([...src, ...dst, 0, 0, ...be16(message.length), 0, 0, 0, 58]), message)),
    2,
  );
  const dmac = f.dmac ? [...parseMac(f.dmac)] : dst[0] === 0xff ? mapped(dst) : [...parseMac(OURS)];
  return Uint8Array.from([
    ...dmac,
    ...parseMac(f.smac ?? THEIRS),
    0x86,
    0xdd,
    ...[0x60, 0, 0, 0],
    ...be16(message.length),
    58,
    f.hops ?? 255,
    ...src,
    ...dst,
    ...message,
  ]);
}

/** One line of a frame: what a reader of tcpdump would see. */
export { printLine } from '../../host/wire/index.js';
