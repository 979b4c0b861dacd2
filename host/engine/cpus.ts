/**
 * CPUs that lanes keep to (EngineOptions.cpus). Without them the system moves a lane that spins as it pleases, at times to
 * the CPU of the peer that it talks to.
 */
import { readFileSync } from 'node:fs';
import { EtherloomError } from '../errors.js';
import { type NativeLoad, native } from '../native/load.js';

/** CPUs that this process may run on; none where the system does not say. */
export function allowedCpus(): number[] {
  let status: string;
  try {
    status = readFileSync('/proc/self/status', 'utf8');
  } catch {
    return [];
  }
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '';
  return list
    .split(',')
    .filter(Boolean)
    .flatMap(part => {
      const [from, to = from] = part.split('-').map(Number);
      return Array.from({ length: to - from + 1 }, (_, i) => from + i);
    });
}

/** What pins threads, or why there is nothing. */
function pinning(loaded: NativeLoad): { pin: (cpu: number) => number } | { reason: string } {
  if (!loaded.ok) return { reason: loaded.reason };
  const { pin } = loaded.native;
  return pin ? { pin } : { reason: 'native addon is older than this version: run npm run build:native' };
}

/**
 * Looks at `cpus` before any lane is started.
 * @throws EtherloomError ERR_ENGINE_OPTIONS: no list of CPUs that this process may run on, or no addon
 */
export function checkCpus(cpus: readonly number[], loaded = native()): void {
  const refuse = (message: string, expected: string): never => {
    throw new EtherloomError('ERR_ENGINE_OPTIONS', `option cpus: ${message}`, { expected });
  };
  const allowed = allowedCpus();
  if (!Array.isArray(cpus) || cpus.length === 0) refuse(String(cpus), 'a list of CPUs, by lane');
  const not = cpus.find(cpu => !allowed.includes(cpu));
  if (not !== undefined)
    refuse(String(not), `CPUs that this process may run on: ${allowed.join(', ') || 'not known'}`);
  const found = pinning(loaded);
  if ('reason' in found) refuse(found.reason, 'the native addon');
}

/** Keeps the calling thread to `cpu`. @throws EtherloomError ERR_LANE_CPU: it went since `checkCpus` */
export function keepTo(cpu: number, loaded = native()): void {
  const found = pinning(loaded);
  const rc = 'pin' in found ? found.pin(cpu) : 'no addon';
  if (rc !== 0)
    throw new EtherloomError('ERR_LANE_CPU', `a lane cannot be kept to CPU ${cpu}: ${rc}`, {
      expected: 'a CPU that this process may run on',
    });
}
