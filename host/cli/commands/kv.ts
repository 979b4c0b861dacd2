/** etherloom kv server, etherloom kv bench: eTran's flexkvs_server and flexkvs_bench, on any NIC. */
import { KvCalls } from '../../apps/kv/caller.js';
import { KvStore } from '../../apps/kv/store.js';
import { Workload } from '../../apps/kv/workload.js';
import { EtherloomError } from '../../errors.js';
import {
  type LastingOptions,
  runLoad,
  runServer,
  type ServeOptions,
  serveService,
  timesOf,
} from '../load.js';

export interface KvServerOptions extends ServeOptions {
  items: number;
  /** MiB. */
  memory: number;
}

export interface KvBenchOptions extends LastingOptions {
  conns: number;
  pending: number;
  keySize: number;
  keyNum: number;
  uniform?: boolean;
  zipf: number;
  valSize: number;
  getProb: number;
  time?: number;
  warmup: number;
  cooldown: number;
  keySeed: number;
  opSeed: number;
}

/** memcached's. */
export const KV_PORT = 11211;

export function kvServer(options: KvServerOptions): Promise<number> {
  const memory = KvStore.create({ items: options.items, bytes: options.memory << 20 }, true);
  return runServer(options, 'kv', serveService(options, { app: 'kv', memory }));
}

/** ADDRESS:PORT, [V6]:PORT, or either without the port. */
function readServer(text: string): { host: string; port: number } {
  const [, v6, v6Port, v4, v4Port] =
    /^(?:\[([^\]]+)\](?::(\d{1,5}))?|([^:]+)(?::(\d{1,5}))?)$/.exec(text) ?? [];
  const host = v6 ?? v4 ?? (/^[0-9a-f:.]+$/i.test(text) ? text : undefined);
  const port = Number(v6Port ?? v4Port ?? KV_PORT);
  if (host === undefined || port < 1 || port > 65535)
    throw new EtherloomError('ERR_USAGE_VALUE', `server ${text}`, { expected: 'ADDRESS[:PORT], [V6]:PORT' });
  return { host, port };
}

export function kvBench(server: string | undefined, options: KvBenchOptions): Promise<number> {
  const { keySize, keyNum, valSize, getProb, uniform, zipf, keySeed, opSeed } = options;
  const { conns, pending, warmup, time, cooldown } = options;
  const workload = {
    ...{ keyBytes: keySize, keys: keyNum, valueBytes: valSize, gets: getProb, keySeed, opSeed },
    zipf: uniform ? 0 : zipf,
  };
  const memory = KvCalls.memory();
  // Checked before anything is opened.
  const calls = new KvCalls(new Workload(workload), memory);
  const room = { items: 4 * keyNum, bytes: Math.max(16 << 20, 4 * keyNum * (keySize + valSize + 24)) };
  const place = server === undefined ? { host: undefined, port: KV_PORT } : readServer(server);
  return runLoad(options, {
    service: { app: 'kv', memory: KvStore.create(room, true) },
    calls: { app: 'kv', workload, memory },
    ...{ flows: conns, outstanding: pending, ...place, warmup, seconds: time, cooldown },
    begin() {
      if (calls.ready) calls.start();
      return calls.ready;
    },
    line(span, seconds) {
      const at = (share: number): string => `${Math.round(span.at(share) / 1000)} us`;
      const shares = [50, 90, 95, 99, 99.9, 99.99].map(p => `${p}p=${at(p / 100)}`);
      return `TP: total=${(span.answers / seconds / 1e6).toFixed(4)} mops  ${shares.join('  ')}`;
    },
    facts: (span, seconds) => ({
      ...{ operations: span.answers, mops: span.answers / seconds / 1e6, ...timesOf(span) },
      ...{ misses: calls.misses, failures: calls.failures },
    }),
    trouble: () => (calls.failures ? [`${calls.failures} requests failed`] : []),
  });
}
