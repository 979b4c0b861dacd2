/** Keeps the CPUs from halting while times of microseconds are taken: bench/native/awake.c. */
import { type ChildProcess, spawn } from 'node:child_process';
import { nativeTool } from '../../native/build.js';
import { ready } from './chain.js';

/** @throws Error when the scheduler refuses the class */
export async function keepAwake(): Promise<ChildProcess> {
  const child = spawn(nativeTool('awake'), { stdio: ['ignore', 'pipe', 'pipe'] });
  await ready(child, 'awake');
  return child;
}
