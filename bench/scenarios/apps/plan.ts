/** What a process of the apps bench is to be, what it is asked, and what it answers: lines of JSON. */
import type { Level } from '../../../host/apps/levels.js';

/**
 * Who has the lanes and the applications of two hosts on the shared-memory link:
 *
 *   lanes   a lane for each host, the applications inside of them                              2 threads
 *   split   one lane for both hosts; the applications of both in the main thread               2 threads
 *   served  one lane for both hosts, and who calls inside of it; who serves in the main thread 2 threads
 *   inline  lanes and applications of both hosts in the main thread                            1 thread
 */
export type Shape = 'lanes' | 'split' | 'served' | 'inline';

/** `connects`: connections that are made, and ended as soon as they are there, so many at a time; no bytes. */
export type AppName = 'echo' | 'http' | 'kv' | 'connects';

export interface Load {
  app: AppName;
  /** Connections, and requests under way on each. */
  flows: number;
  outstanding: number;
  /** Most requests of one write. Default: all that are to be made at a time. */
  most?: number;
}

/** Both ends on our TCP, in one process. */
export interface PairPlan extends Load {
  be: 'pair';
  shape: Shape;
  level: Level;
  /** How long an idle lane, or a poll of the burst API, spins before it sleeps, µs. */
  spinUs: number;
}

/** One end on the kernel's, by Node's `net` and `http`. */
export interface KernelPlan extends Load {
  be: 'kernel';
  side: 'server' | 'client';
  /** Address of the server, or path of its Unix socket. */
  at: { host: string; port: number } | { path: string };
  /** The event loop always has something to do, so that it never waits in epoll. */
  spins: boolean;
}

/** A server of ours for the kernel's clients: a lane on AF_XDP with the application inside, or in the main thread. */
export interface XdpPlan extends Load {
  be: 'xdp';
  level: Level;
  interface: string;
  address: string;
  port: number;
  spinUs: number;
}

/** An engine with two hosts, a server and a connection, and nothing to do; or that is woken now and then. */
export interface IdlePlan {
  be: 'idle';
  /** Messages after pauses: p50 and p99 are of how long they take to be seen. `bare`: a thread's wake, without an engine. */
  wakes: boolean | 'bare';
}

export type Plan = PairPlan | KernelPlan | XdpPlan | IdlePlan;

/** Asked over and over: what happens in `ms`, after `warmMs` that do not count. */
export interface Order {
  warmMs: number;
  ms: number;
}

export interface Answer {
  seconds: number;
  /** Answers to requests; 0 of a server. */
  answers: number;
  p50Us: number;
  p99Us: number;
  /** CPU time of the process, µs. */
  cpuUs: number;
  /** How long its threads were ready and had no CPU, µs: others had it. */
  awaitedUs: number;
  /** What went wrong since it began. */
  errors: string[];
}
