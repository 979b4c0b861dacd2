/** Homa as a transport of a stack: `Stack.create({ engine, ports, messages: homa() })`. */
import { EtherloomError } from '../../errors.js';
import type { Arena } from '../../mem/arena.js';
import { HOMA_PROTOCOL } from '../../wire/homa.js';
import type { TransportEnv } from '../contract.js';
import type { LoadedMessages, MessageTransport, MessageView } from '../messages.js';
import { registerMessages } from '../registry.js';
import { HomaControl, type HomaSettings } from './control.js';
import { type HomaShared, HomaView } from './view.js';

export interface HomaOptions {
  /** Ports that can be served at a time. Default 64. */
  listeners?: number;
  /** Own addresses that there can be. Default 1024. */
  addresses?: number;
  /** Slots of servers that a peer may have here. Default a half of the engine's streams. */
  peerSlots?: number;
  /** Slots that a port may have for all of its clients. Default seven eighths of the engine's streams. */
  portSlots?: number;
  /**
   * Bytes of a message that are sent without being asked for. Default: what a line of linkMbps sends until the first grant can be
   * there, two full frames and `rttNs`, at most 40,000, which HomaModule has at any rate; without linkMbps 40,000. More only waits at
   * the receiver's switch, before shorter messages of less priority.
   */
  unscheduled?: number;
  /** Round trip of a short packet between two hosts that have nothing else to do, ns. Default 11,800, eTran's at 25 Gbit/s. */
  rttNs?: number;
  /**
   * Bytes that are under way at a time, of all messages together: no more is granted than makes that. Default with linkMbps ten times what
   * `unscheduled` is then by default, at most 400,000, HomaModule's: they wait at the receiver's switch, and what is granted later is behind
   * them. Without linkMbps 1,600,000: hosts of one machine have no switch, and a lane that writes a long message sends nothing meanwhile.
   */
  maxIncoming?: number;
  /**
   * Of each message that is granted, how far ahead. Default with linkMbps twice what `unscheduled` is then by default: what waits at a
   * switch was granted before shorter messages came; hosts whose round trips are longer than twice `rttNs` say so. Without linkMbps 0:
   * maxIncoming / (messages that are granted + 1).
   */
  window?: number;
  /** Messages that are granted at a time, 1 … 8, one of a peer at most. Default 8. */
  overcommit?: number;
  /** Highest priority of granted bytes, until cutoffs are made of traffic. Default 3. */
  maxSchedPriority?: number;
  /** Thousandths of granted bytes for the message that waits longest, `fifoGrantStep` bytes at a time. Default 50 and 50,000. */
  fifoGrant?: number;
  fifoGrantStep?: number;
  /** Rate of the ports, Mbit/s, for the pacer, and for the defaults of `unscheduled`, `maxIncoming` and `window`; 0, the default: no pacer. */
  linkMbps?: number;
  /** What may wait in the NIC, ns. Default 5000; nobody is kept for longer than `nicQueueHardNs` at a time, default 40,000. */
  nicQueueNs?: number;
  nicQueueHardNs?: number;
  /** Packets of fewer bytes do not wait for the NIC. Default 1000. */
  throttleMinBytes?: number;
  /** Thousandths of the pacer's turns for the message that waits longest. Default 50. */
  fifoPace?: number;
  /**
   * A call whose peer says that it is busy, or asks again, and nothing else for so long ends in ETIMEDOUT, ms. Handlers take no longer;
   * deadlines are the application's. Default 300,000.
   */
  busyMs?: number;
  /** Unscheduled priorities are made of traffic so often, ms; 0: never. Default 1000. In virtual time: never by themselves. */
  adaptMs?: number;
  /** Makes the choice of ports repeat: for tests. */
  seed?: number;
}

const MOST = 2 ** 20;
const LONGEST = 1_000_000;
/** Settings that are variables of the programs: default, least, most. */
const VARIABLES = {
  unscheduled: ['homa_unscheduled', 40_000, 1, LONGEST],
  maxIncoming: ['homa_max_incoming', 1_600_000, 1500, 2 ** 30],
  window: ['homa_window', 0, 0, LONGEST],
  overcommit: ['homa_overcommit', 8, 1, 8],
  maxSchedPriority: ['homa_max_sched', 3, 0, 6],
  fifoGrant: ['homa_fifo_grant', 50, 0, 500],
  fifoGrantStep: ['homa_fifo_step', 50_000, 1, LONGEST],
  nicQueueNs: ['homa_nic_queue_ns', 5000, 0, 10_000_000],
  nicQueueHardNs: ['homa_nic_queue_hard_ns', 40_000, 1, 10_000_000],
  throttleMinBytes: ['homa_throttle_min', 1000, 0, 65535],
  fifoPace: ['homa_fifo_pace', 50, 0, 500],
  busyMs: ['homa_busy_ms', 300_000, 100, 2 ** 31],
} as const;
const PS_PER_S_BYTE = 8e12;
/** Frame of 1500 B with preamble, CRC and gap: a packet, and the GRANT for it, wait for one each at most where nothing queues. */
const FULL_FRAME = 1538;
const RTT_NS = 11_800;
/** HomaModule's, at 25 Gbit/s. */
const MOST_INCOMING = 400_000;
/** The same by its unscheduled bytes. */
const INCOMING_BY_UNSCHEDULED = 10;
/** W5's shorter half waits no longer than with one, and hosts that need twice as long still fill the line. */
const WINDOW_BY_UNSCHEDULED = 2;

/** Bytes that a line sends in a round trip. */
const rttBytes = (mbps: number, rttNs: number): number => 2 * FULL_FRAME + Math.round((mbps * rttNs) / 8000);

function whole(name: string, n: unknown, least: number, most: number): number {
  if (Number.isInteger(n) && (n as number) >= least && (n as number) <= most) return n as number;
  throw new EtherloomError('ERR_HOMA_OPTIONS', `${name}: ${String(n)}`, {
    expected: `a whole number from ${least} to ${most}`,
  });
}

class Homa implements MessageTransport {
  readonly name = 'homa';
  readonly protocol = HOMA_PROTOCOL;
  readonly #settings: HomaSettings;

  constructor(o: HomaOptions) {
    const globals: Record<string, number> = {};
    const mbps = whole('linkMbps', o.linkMbps ?? 0, 0, 1_000_000);
    for (const [name, [variable, usual, least, most]] of Object.entries(VARIABLES))
      globals[variable] = whole(name, o[name as keyof typeof VARIABLES] ?? usual, least, most);
    const rttNs = whole('rttNs', o.rttNs ?? RTT_NS, 0, 10_000_000);
    if (mbps > 0) {
      const unasked = Math.min(VARIABLES.unscheduled[1], rttBytes(mbps, rttNs));
      if (o.unscheduled === undefined) globals.homa_unscheduled = unasked;
      if (o.window === undefined) globals.homa_window = WINDOW_BY_UNSCHEDULED * unasked;
      // Twice what comes unasked of a message at least, whatever was said of that.
      if (o.maxIncoming === undefined)
        globals.homa_max_incoming = Math.max(
          2 * globals.homa_unscheduled,
          Math.min(MOST_INCOMING, INCOMING_BY_UNSCHEDULED * unasked),
        );
    }
    globals.homa_ps_per_byte = mbps === 0 ? 0 : Math.round(PS_PER_S_BYTE / (mbps * 1e6));
    this.#settings = {
      listeners: whole('listeners', o.listeners ?? 64, 1, 32768),
      addresses: whole('addresses', o.addresses ?? 1024, 1, MOST),
      peerSlots: whole('peerSlots', o.peerSlots ?? 0, 0, MOST),
      portSlots: whole('portSlots', o.portSlots ?? 0, 0, MOST),
      adaptMs: whole('adaptMs', o.adaptMs ?? 1000, 0, 3_600_000),
      seed: o.seed,
      globals,
    };
  }

  load(env: TransportEnv): Promise<LoadedMessages> {
    return HomaControl.load(this, env, this.#settings);
  }

  view(arena: Arena, shared: unknown): MessageView {
    return new HomaView(arena, shared as HomaShared);
  }
}

/** Homa with these settings. @throws EtherloomError ERR_HOMA_OPTIONS */
export function homa(options: HomaOptions = {}): MessageTransport {
  return new Homa(options);
}

registerMessages(homa());
