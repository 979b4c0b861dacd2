/**
 * The same loads on Node's `net`, as a process of its own in another namespace: clients of the kernel. Told host and seed;
 * prints what it counted as a line of JSON a second, and ends what it began when its stdin is closed.
 */
import dgram from 'node:dgram';
import net from 'node:net';
import { callDuplex } from '../../../host/apps/levels.js';
import { datagramLoad } from './datagrams.js';
import { httpLoad } from './http.js';
import { PORTS } from './load.js';
import { StoreLoad } from './store.js';
import { webSocketLoad } from './websocket.js';

const [host, seed] = process.argv.slice(2);
const from = { net, host, seed: Number(seed) };
const store = new StoreLoad('kernel kv', 4);
// Who is at the other end, and cannot answer for a while, is not known here.
const udp = datagramLoad({ dgram, host, seed: from.seed, outage: () => true }, 2);
const loads = { http: httpLoad(from, 3), ws: webSocketLoad(from, 3), kv: store, udp };
const starting = store.start(host, PORTS.kv, (spec, place) => callDuplex(net, spec, place));
const failures: string[] = [];
starting.catch(error => failures.push(error.message));

function tell(over: boolean): void {
  const total = Object.fromEntries(Object.entries(loads).map(([name, load]) => [name, load.total]));
  console.log(JSON.stringify({ over, failures, ...total }));
}

const telling = setInterval(() => tell(false), 1000);
process.stdin.resume().once('end', async () => {
  await starting.catch(() => {});
  for (const load of Object.values(loads)) await load.stop();
  clearInterval(telling);
  tell(true);
});
