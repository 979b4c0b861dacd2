/** What the Homa carrier of one application asks of its stack, in the stack's thread. */
import type { Engine } from '../engine/engine.js';
import { rssHashOf } from '../nic/rss.js';
import type { SlotCalls, Way } from '../rpc/homa/calls.js';
import type { StreamApp } from '../streams/stream_app.js';
import type { ClientPlace, LoadedMessages } from '../transports/messages.js';
import { canonicalIp, parseIp } from '../wire/address.js';
import type { Network } from './network.js';

/** The port by which a peer is reached, and the lane where its packets arrive: which ports it uses does not matter for that. */
export function wayOf(engine: Engine, network: Network, address: string): Way {
  const way = network.wayTo(address, undefined);
  const { ifindex } = way.port;
  if (engine.laneCount === 1) return { lane: 0, ifindex, address };
  const port = engine.port(ifindex);
  const hash = rssHashOf(parseIp(way.address), parseIp(address));
  return { lane: port.queue(port.rss.queue(hash)).lane, ifindex, address };
}

export function slotCalls(
  engine: Engine,
  network: Network,
  messages: LoadedMessages,
  app: StreamApp,
): SlotCalls {
  const { transport, shared } = messages;
  let client: ClientPlace | undefined;
  return {
    protocol: transport.protocol,
    view: transport.view(engine.arena, shared),
    way: address => wayOf(engine, network, address),
    open({ lane, ifindex }, n, opened, refused) {
      let ids: number[];
      try {
        client ??= messages.client({ app: app.number });
        ids = messages.openSlots(client, n, { lane, ifindex });
      } catch (error) {
        refused(error);
        return;
      }
      opened(ids);
    },
    end: id => app.end(id),
    serve({ port, address }) {
      const own = address === undefined ? undefined : canonicalIp(address);
      const place = messages.serve({ app: app.number, port, address: own });
      return { port: place.port, close: () => messages.unserve(place.port) };
    },
    leave() {
      if (client) messages.closeClient(client);
      client = undefined;
    },
  };
}
