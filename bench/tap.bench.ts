/**
 * TAP: what a packet costs (a system call, by the addon and without it), and how long a ping takes that a lane answers.
 * Needs root and /dev/net/tun; left out where there is none.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { Engine } from '../host/engine/engine.js';
import { native } from '../host/native/load.js';
import { tap } from '../host/nic/index.js';
import { deviceOf } from '../host/nic/tap/device.js';
import { linkName, missingTun, Namespace } from '../tests/support/netns.js';
import type { Bench } from './harness/bench.js';

const BATCH = 1 << 12;
const BYTES = 1500;

/** Reads of a packet's length, through the addon and through node:fs: the system call and what lies around it. */
function reads(bench: Bench): void {
  const loaded = native();
  const into = new Uint8Array(2048);
  const fd = openSync('/dev/zero', 'r');
  const time = (name: string, read: () => number): number =>
    bench.time(
      name,
      () => {
        for (let i = 0; i < BATCH; i++) read();
      },
      { batch: BATCH },
    ).ns;
  const byFs = time('read, node:fs', () => readSync(fd, into, 0, BYTES, null));
  const byAddon = loaded.ok ? time('read, addon', () => loaded.native.read(fd, into, 0, BYTES)) : undefined;
  closeSync(fd);
  bench.row({
    group: 'TAP',
    name: 'system call of a packet',
    conditions: `${BYTES} B read of /dev/zero${byAddon === undefined ? ', without the addon' : ''}`,
    unit: 'ns',
    value: byAddon ?? byFs,
    ...(byAddon === undefined ? {} : { peer: { name: 'node:fs', value: byFs } }),
  });
}

/** An interface without packets, looked at by the host. */
async function empty(bench: Bench): Promise<void> {
  const nic = tap({ name: linkName('tap') });
  const engine = await Engine.create({ nics: [nic], inline: true, frames: 256, mapBytes: 1 << 16 });
  const loaded = native();
  const into = new Uint8Array(2048);
  const time = (name: string, calls: Parameters<typeof deviceOf>[1]): number => {
    const device = deviceOf(nic.fds[0], calls);
    while (device.read(into, 0, into.length) > 0);
    return bench.time(
      name,
      () => {
        for (let i = 0; i < BATCH; i++) device.read(into, 0, into.length);
      },
      { batch: BATCH },
    ).ns;
  };
  const byAddon = time('empty, addon', loaded.ok ? loaded.native : undefined);
  const byFs = time('empty, node:fs', undefined);
  await engine.stop();
  bench.row({
    group: 'TAP',
    name: 'look at an empty interface',
    conditions: 'EAGAIN',
    unit: 'ns',
    value: byAddon,
    peer: { name: 'node:fs', value: byFs },
  });
}

/** ping to a responder in a lane, and to the kernel's own by lo beside it. */
async function pings(bench: Bench): Promise<void> {
  const ns = new Namespace('tap');
  const nic = tap({ name: linkName('tap') });
  const engine = await Engine.create({ nics: [nic], frames: 1024, mapBytes: 1 << 16, pass: 'count' });
  try {
    engine.respond(1, { addresses: ['10.66.0.1/24'], announce: false, linkLocal: false });
    await engine.start();
    ns.adopt(nic.name, '10.66.0.2/24');
    const count = bench.quick ? 100 : 500;
    const times = async (to: string): Promise<{ min: number; avg: number }> => {
      const { out } = await ns.run('ping', '-n', '-q', '-c', `${count}`, '-i', '0.002', to);
      const [, received, min, avg] = /(\d+) received.*= ([\d.]+)\/([\d.]+)\//s.exec(out) ?? [];
      if (Number(received) !== count) throw new Error(out);
      return { min: Number(min) * 1000, avg: Number(avg) * 1000 };
    };
    const [ours, kernel] = [await times('10.66.0.1'), await times('127.0.0.1')];
    for (const [name, key] of [
      ['ping, least', 'min'],
      ['ping, mean', 'avg'],
    ] as const)
      bench.row({
        group: 'TAP',
        name,
        conditions: `${count} × 56 B every 2 ms, a lane that sleeps between them`,
        unit: 'µs',
        value: ours[key],
        peer: { name: 'kernel over lo', value: kernel[key] },
      });
  } finally {
    await engine.stop();
    ns.close();
  }
}

export default async function tapBench(bench: Bench): Promise<void> {
  reads(bench);
  const loaded = native();
  const reason = missingTun ?? (loaded.ok ? undefined : loaded.reason);
  if (reason) {
    console.error(`  tap: left out: ${reason}`);
    return;
  }
  await empty(bench);
  await pings(bench);
}
