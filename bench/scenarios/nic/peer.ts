/**
 * A reflector or forwarder in this process's namespace, until SIGTERM: tsx peer.ts etherloom|kernel reflect|forward QUEUES SPIN_US
 * Both run bench/fixtures/l2.bpf.o on interfaces r0 and r1.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type * as Collections from '../../../host/bpf/collection.js';
import type * as Kernel from '../../../host/bpf/kernel/collection.js';
import type * as Link from '../../../host/bpf/kernel/link.js';
import type { DevMap } from '../../../host/bpf/maps/index.js';
import type * as Open from '../../../host/bpf/open.js';
import type * as Engines from '../../../host/engine/engine.js';
import type * as AfXdp from '../../../host/nic/af_xdp/index.js';
import { built } from '../../harness/built.js';
import type { Work } from './wire.js';

const [kind, work, queues, spinUs] = process.argv.slice(2) as [string, Work, string, string];
const OBJECT = fileURLToPath(new URL('../../fixtures/l2.bpf.o', import.meta.url));
const names = work === 'reflect' ? ['r0'] : ['r0', 'r1'];
const { openObject } = await built<typeof Open>('bpf/open');

/** The engine may stand still for as long as it is not its turn. */
const HANG_MS = 3_600_000;

async function etherloom(): Promise<() => unknown> {
  const { Engine } = await built<typeof Engines>('engine/engine');
  const { Collection } = await built<typeof Collections>('bpf/collection');
  const { AfXdpNic } = await built<typeof AfXdp>('nic/af_xdp/index');
  const nics = names.map(name => new AfXdpNic({ interface: name, own: true }));
  const lanes = Number(queues);
  const engine = await Engine.create({ nics, lanes, spinUs: Number(spinUs), hangMs: HANG_MS, pass: 'count' });
  const collection = await Collection.load(openObject(OBJECT), engine, { programs: [work] });
  const ports = engine.ports.map(p => p.ifindex);
  if (work === 'forward') {
    const map = collection.map<DevMap>('ports');
    map.set(ports[0], { ifindex: ports[1] });
    map.set(ports[1], { ifindex: ports[0] });
  }
  for (const port of ports) engine.attach(collection.program(work).placed, port);
  await engine.start();
  return () => engine.stop();
}

async function kernel(): Promise<() => unknown> {
  const { KernelCollection } = await built<typeof Kernel>('bpf/kernel/collection');
  const { KernelLink } = await built<typeof Link>('bpf/kernel/link');
  const indices = names.map(name => Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8')));
  const collection = KernelCollection.load(openObject(OBJECT), { log: 'none', programs: [work] });
  const word = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);
  if (work === 'forward')
    for (const [i, from] of indices.entries()) collection.maps.ports.update(word(from), word(indices[1 - i]));
  const links = indices.map(i => KernelLink.attachXdp(collection.program(work), i, 'native'));
  return () => {
    for (const link of links) link.close();
    collection.close();
  };
}

const kinds: Record<string, () => Promise<() => unknown>> = { etherloom, kernel };
const stop = await kinds[kind]();
const alive = setInterval(() => {}, 1 << 30);
process.once('SIGTERM', async () => {
  await stop();
  clearInterval(alive);
});
console.log('ready');
