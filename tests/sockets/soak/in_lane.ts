/**
 * Calls of the soak on services inside of a lane. What connections such a service has is aborted when its lane dies, and
 * only then: it begins anew with the lane, and whoever calls again is answered.
 */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Caller } from '../../../host/apps/load/caller.js';
import { DuplexLoad } from '../../../host/apps/load/duplex.js';
import { Tally, TallySpan } from '../../../host/apps/load/tally.js';
import { type CallFrom, type Counted, inTime, Workers } from './load.js';

export interface InLaneCalls {
  name: string;
  port: number;
  /** Makes the requests of one connection. */
  caller(): Caller;
  /** Whether the lane was ended, or not yet back, at some time since `from`. */
  ended(from: number): boolean;
}

/** Requests under way on a connection, and the longest life of one that asks without a pause, ms. */
const OUTSTANDING = 4;
const LIFE_MS = 4000;
/** What an application hears whose connection was aborted: as it read, or as it wrote. */
const ABORTED = ['ECONNRESET', 'EPIPE'];

export function inLaneLoad({ net, host, seed }: CallFrom, calls: InLaneCalls, workers: number): Workers {
  const { name, port, caller, ended } = calls;
  const turn = async (next: () => number, total: Counted): Promise<void> => {
    const from = performance.now();
    const socket = (net.connect as unknown as (to: object) => Duplex)({ host, port, noDelay: true });
    const load = new DuplexLoad(new Tally());
    // After an error, too.
    const closed = new Promise(resolve => socket.once('close', resolve));
    const connected = new Promise(resolve => socket.once('connect', resolve));
    load.begin(socket, caller(), OUTSTANDING);
    // One that is dropped before is an attempt that failed, to its server.
    await inTime(`${name}: connect`, Promise.race([closed, connected]));
    await Promise.race([closed, sleep(next() % LIFE_MS)]);
    load.stop();
    const through = async (): Promise<void> => {
      while (load.underWay > 0) await Promise.race([closed, sleep(5)]);
    };
    await inTime(`${name}: answers`, through());
    load.close();
    await inTime(`${name}: close`, closed);
    const { answers, bytesIn, bytesOut, connected: made } = new TallySpan([load.tally.numbers]);
    total.answers += answers;
    total.bytes += bytesIn + bytesOut;
    total.connections += made;
    const [error] = load.errors;
    const excused = ended(from);
    if (excused) total.exposed++;
    if (error === undefined) return;
    if (!ABORTED.includes(error) || !excused) throw new Error(error);
    total.aborted++;
  };
  return new Workers(name, workers, seed, turn);
}
