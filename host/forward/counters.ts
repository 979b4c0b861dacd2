/** What a hop has counted, and the flows that it knows: read from its maps, in the engine or in the kernel. */
import { formatIp, formatMac } from '../wire/address.js';

/** enum reason of hop.h, in its order. */
export const REASONS = [
  'forth',
  'back',
  'error',
  'fragment',
  'completed',
  'opened',
  'reopened',
  'evicted',
  'displaced',
  'not_ip',
  'not_ours',
  'no_listener',
  'no_flow',
  'no_port',
  'no_backend',
  'no_fragment',
  'ttl',
  'malformed',
] as const;
export type Reason = (typeof REASONS)[number];

/** Reasons for which packets are dropped, and for which they are left to the host. */
export const DROPPED: readonly Reason[] = [
  'no_flow',
  'no_port',
  'no_backend',
  'no_fragment',
  'ttl',
  'malformed',
];
export const PASSED: readonly Reason[] = ['not_ip', 'not_ours', 'no_listener'];

export interface Count {
  packets: number;
  bytes: number;
}

export interface HopCounters {
  /** From 0, in the order in which a client's packet meets them. */
  hop: number;
  /** Flows that are alive. */
  flows: number;
  limit: number;
  counts: Record<Reason, Count>;
}

export type FlowState = 'opening' | 'open' | 'closing' | 'closed';

export interface Flow {
  protocol: 'tcp' | 'udp';
  client: string;
  clientPort: number;
  clientMac: string;
  /** Port that the client called. */
  port: number;
  /** Port that the flow was given at our side. */
  sourcePort: number;
  backend: string;
  backendPort: number;
  state: FlowState;
  /** How long it may yet be silent, ns. */
  leftNs: bigint;
}

/** struct mapping of flow.h; the tests compare it with the object's BTF. */
export const MAPPING = {
  size: 112,
  expires: 0,
  state: 8,
  client: 16,
  backend: 32,
  clientPort: 48,
  listenPort: 50,
  backendPort: 52,
  protocol: 54,
  family: 55,
  clientMac: 60,
} as const;

const STATES: readonly FlowState[] = ['opening', 'open', 'closing', 'closed', 'opening', 'open'];
const IPPROTO_TCP = 6;
const AF_INET = 2;

/** Whether the flow at `at` lives at `nowNs`: a slot whose time is past is free. */
export function isAlive(view: DataView, at: number, nowNs: bigint): boolean {
  return (
    view.getBigUint64(at + MAPPING.expires, true) >= nowNs &&
    view.getUint8(at + MAPPING.state) < STATES.length
  );
}

/** Reads the flow at `at`, that of port `sourcePort`. */
export function readFlow(view: DataView, at: number, sourcePort: number, nowNs: bigint): Flow {
  const bytes = (offset: number, length: number): Uint8Array =>
    new Uint8Array(view.buffer, view.byteOffset + at + offset, length).slice();
  const word = (offset: number): number => view.getUint16(at + offset);
  const length = view.getUint8(at + MAPPING.family) === AF_INET ? 4 : 16;
  return {
    protocol: view.getUint8(at + MAPPING.protocol) === IPPROTO_TCP ? 'tcp' : 'udp',
    client: formatIp(bytes(MAPPING.client, length)),
    clientPort: word(MAPPING.clientPort),
    clientMac: formatMac(bytes(MAPPING.clientMac, 6)),
    port: word(MAPPING.listenPort),
    sourcePort,
    backend: formatIp(bytes(MAPPING.backend, length)),
    backendPort: word(MAPPING.backendPort),
    state: STATES[view.getUint8(at + MAPPING.state)],
    leftNs: view.getBigUint64(at + MAPPING.expires, true) - nowNs,
  };
}

/** Adds up the copies of per-CPU counters: `copies` lie `stride` bytes apart, each { u64 packets, u64 bytes }. */
export function addCounts(view: DataView, at: number, copies: number, stride: number): Count {
  let packets = 0;
  let bytes = 0;
  for (let i = 0; i < copies; i++) {
    packets += Number(view.getBigUint64(at + i * stride, true));
    bytes += Number(view.getBigUint64(at + i * stride + 8, true));
  }
  return { packets, bytes };
}
