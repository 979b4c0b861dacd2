/**
 * Applications and loads as plain data, so that another thread can be told of them: which service, which callers. Memory
 * that several threads are to share is in them.
 */
import { EtherloomError } from '../errors.js';
import { EchoCaller } from './echo/caller.js';
import { echo } from './echo/echo.js';
import { HelloCaller } from './http/caller.js';
import { hello } from './http/hello.js';
import { KvCaller, KvCalls } from './kv/caller.js';
import { kv } from './kv/session.js';
import { KvStore } from './kv/store.js';
import { Workload, type WorkloadOptions } from './kv/workload.js';
import type { Caller } from './load/caller.js';
import { type Limits, NO_LIMITS } from './patience.js';
import type { Service } from './service.js';

/** `limits` in place of LIMITS, one by one. Echo's `short`: each message of so many bytes is answered by a short one. */
export type ServiceSpec = { limits?: Partial<Limits> } & (
  | { app: 'echo'; short?: number }
  | { app: 'http' }
  | { app: 'kv'; memory: ArrayBuffer | SharedArrayBuffer }
);

/** How patient services are. HTTP's are those of Node's `http`. */
export const LIMITS: Readonly<Record<ServiceSpec['app'], Limits>> = {
  echo: { ...NO_LIMITS, idleMs: 600_000, stallMs: 60_000, lingerMs: 10_000 },
  http: { ...NO_LIMITS, idleMs: 5000, headMs: 60_000, bodyMs: 300_000, stallMs: 60_000, lingerMs: 10_000 },
  kv: { ...NO_LIMITS, idleMs: 600_000, headMs: 60_000, stallMs: 60_000, lingerMs: 10_000 },
};

/** @throws EtherloomError ERR_APP_OPTIONS */
export function limitsOf({ app, limits = {} }: ServiceSpec): Limits {
  for (const [name, n] of Object.entries(limits))
    if (!Object.hasOwn(NO_LIMITS, name) || typeof n !== 'number' || !(n >= 0))
      throw new EtherloomError('ERR_APP_OPTIONS', `limits: ${name}: ${String(n)}`, {
        expected: `${Object.keys(NO_LIMITS).join(', ')}: 0 or more`,
      });
  return { ...LIMITS[app], ...limits };
}

/** @param owner of locks in shared memory, from 1 on: another for each thread */
export function serviceOf(spec: ServiceSpec, owner = 1): Service {
  switch (spec.app) {
    case 'echo':
      return echo(spec.short);
    case 'http':
      return hello();
    case 'kv':
      return kv(new KvStore(spec.memory, owner));
  }
}

export type CallSpec =
  | { app: 'echo'; bytes: number; short?: boolean }
  | { app: 'http' }
  | { app: 'kv'; workload: WorkloadOptions; memory: SharedArrayBuffer };

/** Makes callers, one for each connection of a thread. */
export interface Callers {
  next(): Caller;
  /** Whether callers that had nothing to ask for have something now. */
  readonly started: boolean;
}

/** @param thread each has choices of its own */
export function callersOf(spec: CallSpec, thread = 0): Callers {
  switch (spec.app) {
    case 'echo':
      return { next: () => new EchoCaller(spec.bytes, spec.short), started: true };
    case 'http':
      return { next: () => new HelloCaller(), started: true };
    case 'kv': {
      const calls = new KvCalls(new Workload(spec.workload, thread), spec.memory);
      return {
        next: () => new KvCaller(calls),
        get started() {
          return calls.started;
        },
      };
    }
  }
}
