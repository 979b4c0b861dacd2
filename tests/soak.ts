/**
 * npm run test:soak [-- PACKETS]: so many packets (default 100 million) through each program of bpf-progs/ on two lanes.
 * Every frame must be accounted for, and the memory of the process must not grow. Prints a line a program; exit code 1
 * when one fails. Takes minutes: not part of `npm test`.
 */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Collection } from '../host/bpf/collection.js';
import { configureGlobals, configureMaps, readMapConfig } from '../host/bpf/config.js';
import { openObject } from '../host/bpf/open.js';
import { Engine, type HookName } from '../host/engine/engine.js';
import { HostNic, MAX_PACKET, ReplayNic } from '../host/nic/index.js';
import { readCapture } from '../host/nic/pcap/index.js';

const ROOT = new URL('../', import.meta.url);
const path = (file: string): string => fileURLToPath(new URL(file, ROOT));
const HOOKS: Record<string, HookName> = { xdp: 'xdp', tc: 'tc_ingress', socket_filter: 'socket_filter' };
/** What garbage collection and V8's own caches may add. */
const GROWTH_MIB = 32;

const total = Number(process.argv[2] ?? 100_000_000);
if (!Number.isInteger(total) || total < 1) {
  console.error('usage: npm run test:soak [-- PACKETS]');
  process.exit(2);
}
const packets = [...readCapture(path('tests/fixtures/capture/real-traffic.pcapng'))]
  .map(p => p.data.slice())
  .filter(d => d.length <= MAX_PACKET);
const mib = (): number => process.memoryUsage().rss / 2 ** 20;
let failed = 0;

for (const file of readdirSync(path('bpf-progs/obj'))
  .filter(f => f.endsWith('.bpf.o'))
  .sort()) {
  const stem = file.slice(0, -'.bpf.o'.length);
  const config = path(`bpf-progs/filters/${stem}/config.json`);
  for (const name of Object.keys(openObject(path(`bpf-progs/obj/${file}`)).programs)) {
    const object = openObject(path(`bpf-progs/obj/${file}`));
    const contents = existsSync(config) ? readMapConfig(config) : {};
    configureGlobals(object, contents);
    const source = new ReplayNic({ packets, count: Math.min(total, 2_000_000), sink: true });
    const engine = await Engine.create({
      lanes: 2,
      nics: [source, ...[2, 3, 4].map(i => new HostNic({ name: `port${i}`, sink: true }))],
      pass: 'count',
    });
    const collection = await Collection.load(object, engine, { programs: [name] });
    configureMaps(collection.maps, contents);
    engine.attach(collection.program(name).placed, 1, HOOKS[object.programs[name].type]);
    await engine.start();
    await engine.idle();
    const before = mib();
    const from = performance.now();
    source.again({ count: total });
    await engine.idle();
    const seconds = (performance.now() - from) / 1000;
    const growth = mib() - before;
    let verdict = growth <= GROWTH_MIB ? 'ok' : `memory grew by ${growth.toFixed(0)} MiB`;
    try {
      const report = await engine.stop();
      if (report.crashes.length) verdict = `${report.crashes.length} lanes crashed`;
      const seen = report.ports[0].rxPackets;
      if (seen !== source.played)
        verdict = `${source.played - seen} of ${source.played} packets never arrived`;
    } catch (error) {
      verdict = (error as Error).message;
    }
    for (const nic of engine.nics) await nic.close();
    collection.close();
    if (verdict !== 'ok') failed++;
    console.log(
      `${name}: ${total} packets, ${(total / seconds / 1e6).toFixed(1)} Mpps, memory ${growth >= 0 ? '+' : ''}${growth.toFixed(1)} MiB, frames conserved: ${verdict}`,
    );
  }
}
console.log(failed ? `${failed} programs failed` : 'all programs passed');
process.exit(failed ? 1 : 0);
