/** What endpoints still have of calls when all of them are over: nothing. */
import type { Carrier } from '../../../host/rpc/carrier.js';
import { DatagramCarrier } from '../../../host/rpc/datagrams/carrier.js';
import { Endpoint } from '../../../host/rpc/endpoint.js';
import { HomaCarrier } from '../../../host/rpc/homa/carrier.js';
import { TcpCarrier } from '../../../host/rpc/tcp/carrier.js';

/** Endpoints that are polled from now on. */
export function watchEndpoints(): { readonly endpoints: Endpoint[]; end(): void } {
  const { poll } = Endpoint.prototype;
  const seen = new Set<Endpoint>();
  Endpoint.prototype.poll = function watched(into, most) {
    seen.add(this);
    return poll.call(this, into, most);
  };
  return {
    get endpoints() {
      return [...seen];
    },
    end() {
      Endpoint.prototype.poll = poll;
    },
  };
}

/** Names and counts of what should not be there. */
export function leftOf(endpoint: Endpoint): string[] {
  const counts: [string, number][] = [['calls in flight', endpoint.inFlight]];
  for (const carrier of endpoint.carriers) counts.push(...countsOf(carrier));
  return counts.filter(([, n]) => n !== 0).map(([what, n]) => `left of calls: ${n} ${what}`);
}

interface Insides {
  posts: Iterable<{
    waiting: number;
    queue: unknown[];
    urgent: unknown[];
    server?: { calls: number; parts: Map<unknown, unknown> };
    clients: Map<unknown, { parts: Map<unknown, unknown> }>;
  }>;
  slots: Map<number, { current: unknown; open: boolean; writer: { busy: boolean }; share?: unknown }>;
}

function countsOf(carrier: Carrier): [string, number][] {
  const insides = carrier as unknown as Insides;
  if (carrier instanceof TcpCarrier)
    return [...carrier.links].flatMap(link => [
      ['requests of a connection', link.account.count],
      ['calls of a connection', link.calls],
      ['bytes of a connection', link.sender.waiting],
    ]);
  if (carrier instanceof HomaCarrier)
    return [...insides.slots.values()].flatMap(slot => [
      ['calls of a slot', slot.current === undefined ? 0 : 1],
      ['messages of a slot', slot.writer.busy ? 1 : 0],
      ['shares of a slot', slot.share === undefined ? 0 : 1],
    ]);
  if (carrier instanceof DatagramCarrier)
    return [...insides.posts].flatMap(post => [
      ['bytes of a socket', post.waiting],
      ['messages of a socket', post.queue.length + post.urgent.length],
      ['calls of a socket', post.server?.calls ?? 0],
      ['parts of a socket', post.server?.parts.size ?? 0],
      ...[...post.clients.values()].map((who): [string, number] => ['parts of a client', who.parts.size]),
    ]);
  return [];
}
