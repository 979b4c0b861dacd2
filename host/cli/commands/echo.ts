/** etherloom echo server, etherloom echo client: eTran's epoll_server, epoll_client and lat_client, on any NIC. */
import type { ServiceSpec } from '../../apps/specs.js';
import { EtherloomError } from '../../errors.js';
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
  short?: boolean;
  dump?: string;
}

export interface EchoServerOptions extends ServeOptions {
  bytes: number;
  short?: boolean;
}

const service = ({ short, bytes }: { short?: boolean; bytes: number }): ServiceSpec => ({
  app: 'echo',
  ...(short ? { short: bytes } : {}),
});

export const echoServer = (options: EchoServerOptions): Promise<number> =>
  runServer(options, 'echo', serveService(options, service(options)));

/** Most that may be under way at a time, bytes: it lies in memory, at both ends. */
const MOST_UNDER_WAY = 1 << 30;

export function echoClient(options: EchoClientOptions): Promise<number> {
  const { bytes, flows, outstanding, ip, port, warmup, duration, short = false, dump } = options;
  const underWay = bytes * flows * outstanding;
  if (underWay > MOST_UNDER_WAY)
    throw new EtherloomError(
      'ERR_USAGE_OPTION',
      `-b ${bytes} -f ${flows} -o ${outstanding} are ${underWay} bytes under way`,
      { expected: `at most ${MOST_UNDER_WAY} (1 GiB)` },
    );
  const gbit = (n: number, seconds: number): number => (n * 8) / seconds / 1e9;
  return runLoad(options, {
    ...{ service: service(options), calls: { app: 'echo', bytes, short } },
    ...{ flows, outstanding, host: ip, port, warmup, seconds: duration },
    ...(dump === undefined ? {} : { dump }),
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
