/** Homa as what carries messages. */
import { HomaMessages } from '../../../host/apps/cp/homa_messages.js';
import { homaFrames } from '../../../host/apps/workloads/slowdown.js';
import { Stack } from '../../../host/net/stack.js';
import type { NetworkOptions } from '../../../host/sim/index.js';
import type { HomaControl } from '../../../host/transports/homa/control.js';
import { type HomaOptions, homa as homaTransport } from '../../../host/transports/homa/index.js';
import { DELAY_NS, type Transport } from './simulation.js';

/** Where messages are taken. */
const PORT = 400;
const MTU = 1500;
/** eTran's; HomaModule's is 5000. */
const NIC_QUEUE_NS = 3000;

export interface HomaTransportOptions {
  /** Answers have 100 bytes. */
  oneWay?: boolean;
  /** Streams of each host: as many calls can be under way, those that it makes and those that it answers. */
  streams?: number;
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
  homa: own,
  delayNs = DELAY_NS,
  buffer = 1 << 20,
}: HomaTransportOptions = {}): Transport {
  let linkMbps = 0;
  return {
    name: 'homa',
    network(rate): NetworkOptions {
      linkMbps = rate / 1e6;
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
        streams: { count, bytes: 1 << 30, apps: 2 * hosts },
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
