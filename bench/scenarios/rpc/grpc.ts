/** @grpc/grpc-js beside it: unary calls over the kernel's loopback, server and caller in processes on CPUs of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { allowedCpus } from '../../../host/engine/cpus.js';
import { type CallFigures, type Load, middle } from './figures.js';

const require = createRequire(import.meta.url);
const END = new URL('grpc_end.mjs', import.meta.url).pathname;

/** Why there is no such peer. */
export function missingGrpc(): string | undefined {
  try {
    require.resolve('@grpc/grpc-js');
    return undefined;
  } catch {
    return '@grpc/grpc-js is not installed';
  }
}

function start(cpu: number | undefined, order: object): ChildProcess {
  const args = [process.execPath, END, JSON.stringify(order)];
  const command = cpu === undefined ? args : ['taskset', '-c', String(cpu), ...args];
  return spawn(command[0], command.slice(1), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

export async function byGrpc(load: Load, rounds: number, ms: number): Promise<CallFigures> {
  const cpus = allowedCpus();
  const server = start(cpus[1], { serve: true });
  const [port] = (await once(server, 'message')) as [number];
  const caller = start(cpus[0], { port, ...load, rounds, ms });
  try {
    const [taken] = (await once(caller, 'message')) as [CallFigures[]];
    return middle(taken);
  } finally {
    caller.kill();
    server.kill();
  }
}
