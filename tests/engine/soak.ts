/**
 * npm run test:soak [-- PACKETS [OBJECT|PROGRAM …]]: every program of every object of bpf-progs/ over so many packets (default 100 million) of the
 * committed capture, on two worker lanes. Frames must be conserved and the memory of the process flat.
 */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Collection } from '../../host/bpf/collection.js';
import { configureGlobals, configureMaps, readMapConfig } from '../../host/bpf/config.js';
import { openObject } from '../../host/bpf/open.js';
import { programTypes } from '../../host/bpf/program_types.js';
import { Engine } from '../../host/engine/engine.js';
import { HostNic, MAX_PACKET, ReplayNic } from '../../host/nic/index.js';
import { readCapture } from '../../host/nic/pcap/reader.js';

/** Growth above this is a leak, bytes. */
const LIMIT = 8 << 20;
const CHUNK = 10_000_000;

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const resident = (): number => {
  collect();
  return process.memoryUsage().rss;
};

const [count = '100000000', ...only] = process.argv.slice(2);
const total = Number(count);
const packets = [...readCapture(path('tests/fixtures/capture/real-traffic.pcapng'))]
  .map(p => p.data.slice())
  .filter(p => p.length <= MAX_PACKET);
const objects = readdirSync(path('bpf-progs/obj')).filter(f => f.endsWith('.bpf.o'));

/** One program over `total` packets, in an engine of its own. True when nothing was lost and nothing grew. */
async function soak(folder: string, program: string): Promise<boolean> {
  // Opened anew: a config changes the object's globals.
  const object = openObject(path(`bpf-progs/obj/${folder}.bpf.o`));
  const configFile = path(`bpf-progs/filters/${folder}/config.json`);
  const config = existsSync(configFile) ? readMapConfig(configFile) : undefined;
  if (config) configureGlobals(object, config);
  const source = new ReplayNic({ packets, count: CHUNK, sink: true });
  const others = [2, 3, 4].map(i => new HostNic({ name: `port${i}`, sink: true }));
  const engine = await Engine.create({ lanes: 2, nics: [source, ...others], pass: 'count' });
  const collection = await Collection.load(object, engine);
  if (config) configureMaps(collection.maps, config);
  engine.attach(collection.program(program).placed, 1);
  await engine.start();
  await engine.idle();
  const before = resident();
  const from = performance.now();
  for (let left = total; left > 0; left -= CHUNK) {
    source.again({ count: Math.min(CHUNK, left) });
    await engine.idle();
  }
  const ms = performance.now() - from;
  const grown = resident() - before;
  const report = await engine.stop();
  await collection.close();
  const { free, total: frames } = report.ledger;
  const ok =
    free === frames &&
    grown < LIMIT &&
    report.crashes.length === 0 &&
    report.ports[0].rxPackets === total + CHUNK;
  console.log(
    `${ok ? 'ok ' : 'BAD'} ${`${folder}/${program}`.padEnd(26)} ${total / 1e6} M packets, ${(total / ms / 1e3).toFixed(1)} Mpps, ` +
      `frames ${free}/${frames}, memory ${grown < 0 ? '' : '+'}${(grown / 1e6).toFixed(1)} MB`,
  );
  return ok;
}

let bad = 0;
let ran = 0;
for (const file of objects) {
  const folder = file.replace('.bpf.o', '');
  for (const [program, { type }] of Object.entries(openObject(path(`bpf-progs/obj/${file}`)).programs)) {
    // A capture is received: what runs on packets that are made would see none of it.
    if (programTypes[type].input !== 'received') continue;
    if (only.length && !only.includes(folder) && !only.includes(program)) continue;
    ran++;
    if (!(await soak(folder, program))) bad++;
  }
}
console.log(`${ran} programs, ${bad} bad`);
process.exit(bad || !ran ? 1 : 0);
