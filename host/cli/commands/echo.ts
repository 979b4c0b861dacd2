/** etherloom echo server, etherloom echo client: eTran's epoll_server, epoll_client and lat_client, on any NIC. */
import {
  type LastingOptions,
  runLoad,
  runServer,
  type ServeOptions,
  serveService,
  timesOf,
} from '../load.js';

export interface EchoClientOptions extends LastingOptions {
  ip?: string;
  port: number;
  bytes: number;
  flows: number;
  outstanding: number;
  warmup: number;
  duration?: number;
}

export const echoServer = (options: ServeOptions): Promise<number> =>
  runServer(options, 'echo', serveService(options, { app: 'echo' }));

export function echoClient(options: EchoClientOptions): Promise<number> {
  const { bytes, flows, outstanding, ip, port, warmup, duration } = options;
  const gbit = (n: number, seconds: number): number => (n * 8) / seconds / 1e9;
  return runLoad(options, {
    ...{ service: { app: 'echo' }, calls: { app: 'echo', bytes } },
    ...{ flows, outstanding, host: ip, port, warmup, seconds: duration },
    line: (span, seconds) =>
      `Throughput In/Out: ${gbit(span.bytesIn, seconds).toFixed(3)}/${gbit(span.bytesOut, seconds).toFixed(3)} Gbps, ` +
      `${(span.answers / seconds / 1000).toFixed(1)} Kops, ${flows} connections, ` +
      `average events ${span.eventsPerTurn.toFixed(1)}`,
    facts: (span, seconds) => ({
      ...{ messages: span.answers, perSecond: span.answers / seconds },
      ...{ gbitIn: gbit(span.bytesIn, seconds), gbitOut: gbit(span.bytesOut, seconds) },
      ...{ connections: flows, eventsPerTurn: span.eventsPerTurn, ...timesOf(span) },
    }),
  });
}
