/** Calls between two namespaces with a veth between them: engines on AF_XDP, or Node's `net` on the kernel's TCP. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { allowedCpus } from '../../../host/engine/cpus.js';
import { native } from '../../../host/native/load.js';
import { Veth } from '../apps/veth.js';
import { type CallFigures, type Load, middle } from './figures.js';

/** Over what: a carrier of ours, or the kernel. */
export type Over = 'homa' | 'tcp' | 'net';

/** Why there is no such wire here. */
export function missingWire(): string | undefined {
  if (process.getuid?.() !== 0) return 'namespaces and AF_XDP need root';
  const loaded = native();
  return loaded.ok ? undefined : 'the addon is not built: npm run build:native';
}

function start(over: Over, namespace: string, cpu: number | undefined, order: object): ChildProcess {
  const ours = [process.execPath, '--import', 'tsx', new URL('wire_end.ts', import.meta.url).pathname];
  const kernels = [process.execPath, new URL('net_end.mjs', import.meta.url).pathname];
  const end = [...(over === 'net' ? kernels : ours), JSON.stringify({ ...order, carrier: over })];
  const pinned = cpu === undefined ? end : ['taskset', '-c', String(cpu), ...end];
  return spawn('ip', ['netns', 'exec', namespace, ...pinned], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}

/** What the process says first. @throws Error when it ends without a word */
async function said<T>(child: ChildProcess): Promise<T> {
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`an end of the wire ended: ${code}`);
  });
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [T];
  ended.catch(() => {});
  return message;
}

export async function overWire(over: Over, load: Load, rounds: number, ms: number): Promise<CallFigures> {
  const veth = new Veth();
  const cpus = allowedCpus();
  const server = start(over, veth.server.name, cpus[1], { interface: 'b0', address: Veth.SERVER });
  let caller: ChildProcess | undefined;
  try {
    await said(server);
    const call = { address: Veth.SERVER, ...load, rounds, ms };
    caller = start(over, veth.client.name, cpus[0], { interface: 'a0', address: Veth.CLIENT, call });
    return middle(await said<CallFigures[]>(caller));
  } finally {
    caller?.kill('SIGKILL');
    server.kill('SIGKILL');
    veth.close();
  }
}
