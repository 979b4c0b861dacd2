/** Our TCP with DCTCP as what carries messages: the peer of the comparison. */
import { TcpMessages } from '../../../host/apps/cp/tcp_messages.js';
import { Uniform } from '../../../host/apps/workloads/arrivals.js';
import { Stack } from '../../../host/net/stack.js';
import type { NetworkOptions } from '../../../host/sim/index.js';
import { type ConnectionOptions, tcp } from '../../../host/transports/tcp/index.js';
import { DELAY_NS, type Transport } from './simulation.js';

/** Where messages are taken. */
const PORT = 4000;
/** Ethernet, IPv4, TCP with timestamps. */
const HEADERS = 14 + 20 + 32;
const MTU = 1500;
/** Of tcp_messages.ts. */
const MESSAGE_HEADER = 16;
const FULL_FRAME = 1514;

export interface DctcpOptions {
  /** Connections to each peer. */
  ports?: number;
  /** Frames that wait at an output when packets are marked. */
  marks?: number;
  /** Rings of each connection, bytes. */
  ring?: number;
  /** Bytes that wait at an output of a switch before it drops. */
  buffer?: number;
  /** Of each line, ns: with what hosts need for a packet. */
  delayNs?: number;
  /** Answers have 100 bytes. */
  oneWay?: boolean;
  /** Options of the connections, beside those that make them DCTCP's. */
  connection?: ConnectionOptions;
}

/** @param options defaults: 4 connections a pair, marks from 20 frames at 10 Gbit/s on, 128 KiB rings, buffers of 1 MB */
export function dctcp({
  ports = 4,
  marks = 20,
  ring = 128 << 10,
  buffer = 1 << 20,
  oneWay = false,
  delayNs = DELAY_NS,
  connection: more,
}: DctcpOptions = {}): Transport {
  const connection: ConnectionOptions = {
    // Acknowledgments that wait longer than a timeout would be taken for losses.
    ...{ congestion: 'dctcp', noDelay: true, minRtoUs: 5000, delackUs: 500 },
    ...{ sendBuffer: ring, receiveBuffer: ring },
    ...more,
  };
  return {
    name: 'dctcp',
    network(rate): NetworkOptions {
      const ecnBytes = Math.round((marks * FULL_FRAME * rate) / 10e9);
      // The host's own queue marks, too, as a qdisc does: else it would be the one that grows.
      return {
        up: { rate, delayNs, ecnBytes, packets: 8192 },
        down: { ecnBytes, queueBytes: buffer, packets: 8192 },
        core: { ecnBytes: ecnBytes * 4, packets: 16384 },
      };
    },
    engine({ hosts, pairs }) {
      const connections = pairs * ports;
      return {
        frames: 65536,
        // Each stack has room for every stream of the engine.
        mapBytes: hosts * ((4 << 20) + (2 * connections + 64) * 3584),
        ...{
          streams: {
            count: 2 * connections + 64,
            bytes: 4 * connections * ring + (16 << 20),
            apps: hosts + 1,
          },
        },
      };
    },
    frames(bytes) {
      const most = MTU - 52;
      const list: number[] = [];
      for (let left = bytes + MESSAGE_HEADER; left > 0; left -= most)
        list.push(HEADERS + Math.min(left, most));
      return list;
    },
    async host(engine, self, peers) {
      const stack = await Stack.create({
        engine,
        ports: { [self.name]: { addresses: [{ address: `${self.address}/16`, dad: false }] } },
        transport: tcp({ listeners: 4, addresses: 4, timeWaits: 16 }),
        datagrams: false,
      });
      const uniform = new Uniform(self.index + 1);
      const messages = new TcpMessages(stack.burst, {
        ...{ port: PORT, ports, connection, oneWay, news: 'take' },
        choose: n => Math.floor(uniform.next() * n),
      });
      return {
        open() {
          messages.serve();
          for (const peer of peers) messages.meet(peer.address);
          return messages;
        },
        flush: () => messages.flush(),
        counters: () => stack.counters(),
        close: () => stack.close({ lingerMs: 0 }),
      };
    },
  };
}
