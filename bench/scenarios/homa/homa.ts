/** Homa as what carries messages. */
import { HomaMessages } from '../../../host/apps/cp/homa_messages.js';
import { homaFrames } from '../../../host/apps/workloads/slowdown.js';
import { Stack } from '../../../host/net/stack.js';
import { type NetworkOptions, unloadedNs } from '../../../host/sim/index.js';
import type { HomaControl } from '../../../host/transports/homa/control.js';
import { type HomaOptions, homa as homaTransport } from '../../../host/transports/homa/index.js';
import { DELAY_NS, type Transport } from './simulation.js';

/** Where messages are taken. */
const PORT = 400;
const MTU = 1500;
/**
 * Rings of all hosts, bytes. A call of 1 MB has four of 1 MiB, and slots keep them: half of this is theirs, the rest is kept for
 * first rings (assembly/stream/promise.ts). With 1 GiB W5's slots find none after 70 ms, and wait for memory, not for the network.
 */
const RING_BYTES = 2.5 * 2 ** 30;
/** eTran's; HomaModule's is 5000. */
const NIC_QUEUE_NS = 3000;

/** A GRANT in its frame. */
const GRANT_FRAME = 14 + 20 + 33;
/** Bytes of a message in a full frame. */
const FULL_BYTES = MTU - 20 - 56;

/**
 * What a sender can send until the first grant comes, whole packets: a full frame to the receiver and a GRANT back, over two lines
 * each. The paper's RTTbytes: so much goes unasked, and so far ahead may an active message be. HomaModule's 40,000 and
 * 400,000 / (active + 1) are for hosts that take more time: at 10 Gbit/s they are several round trips of this network,
 * which wait at the priority that they were granted with while shorter messages come.
 */
function rttBytes(rate: number, delayNs: number): number {
  const path = [
    { rate, delayNs },
    { rate, delayNs },
  ];
  const ns = unloadedNs(path, [FULL_BYTES + 90]) + unloadedNs(path, [GRANT_FRAME]);
  return Math.ceil((ns * rate) / 8e9 / FULL_BYTES) * FULL_BYTES;
}

export interface HomaTransportOptions {
  /** Answers have 100 bytes. */
  oneWay?: boolean;
  /** Streams of each host: as many calls can be under way, those that it makes and those that it answers. */
  streams?: number;
  /** Rings of all hosts, bytes. */
  rings?: number;
  /** Of the programs. */
  homa?: HomaOptions;
  /** Of each line, ns: with what hosts need for a packet. */
  delayNs?: number;
  /** Bytes that wait at an output of a switch before it drops. */
  buffer?: number;
}

export function homa({
  oneWay = false,
  streams = 1024,
  rings = RING_BYTES,
  homa: own,
  delayNs = DELAY_NS,
  buffer = 1 << 20,
}: HomaTransportOptions = {}): Transport {
  let linkMbps = 0;
  let ahead = 0;
  return {
    name: 'homa',
    network(rate): NetworkOptions {
      linkMbps = rate / 1e6;
      ahead = rttBytes(rate, delayNs);
      // Hosts' NICs take one packet after the other; what Homa does about it is its pacer.
      return {
        up: { rate, delayNs, packets: 8192 },
        down: { queueBytes: buffer, packets: 8192 },
        core: { packets: 16384 },
      };
    },
    engine({ hosts }) {
      const count = hosts * streams;
      return {
        frames: 65536,
        // Each stack has room for every stream of the engine, its TCP as well.
        mapBytes: hosts * ((8 << 20) + count * 4480),
        streams: { count, bytes: rings, apps: 2 * hosts },
      };
    },
    frames: bytes => homaFrames(bytes, { mtu: MTU, family: 4 }),
    async host(engine, self, peers) {
      const stack = await Stack.create({
        engine,
        ports: {
          [self.name]: { addresses: [{ address: `${self.address}/16`, dad: false }], announce: false },
        },
        messages: homaTransport({
          seed: self.index + 1,
          listeners: 4,
          addresses: 4,
          linkMbps,
          nicQueueNs: NIC_QUEUE_NS,
          unscheduled: ahead,
          window: ahead,
          ...own,
        }),
        datagrams: false,
      });
      const { ifindex } = engine.port(self.name);
      const messages = new HomaMessages(stack, { port: PORT, ifindex, oneWay, news: 'take' });
      return {
        open() {
          messages.serve();
          for (const peer of peers) messages.meet(peer.address);
          return messages;
        },
        flush: () => messages.flush(),
        // The clock is virtual: nobody else does.
        adapt: () => (stack.messages as HomaControl).adapt(),
        counters: () => stack.counters('messages'),
        close: () => stack.close({ lingerMs: 0 }),
      };
    },
  };
}
