/**
 * Which lane has a connection: the one that its segments will arrive at, where the engine deals them out itself. Elsewhere
 * the programs hand segments on to the lane of their flow (tcp_lanes), and any lane is as good.
 */
import type { CpuMap } from '../../bpf/maps/index.js';
import type { Engine } from '../../engine/engine.js';
import type { LoadedProgram } from '../../engine/program.js';
import { rssHashOf } from '../../nic/rss.js';
import { parseIp } from '../../wire/address.js';
import type { Endpoint } from '../contract.js';

/** Segments that may wait for another lane. */
const QUEUE = 1024;

export class Lanes {
  constructor(readonly engine: Engine) {}

  /** Lane for a connection that leaves by port `ifindex`. */
  of(ifindex: number, local: Endpoint, remote: Endpoint): number {
    if (this.engine.laneCount === 1) return 0;
    const port = this.engine.port(ifindex);
    const ports = new Uint8Array(4);
    new DataView(ports.buffer).setUint16(0, local.port);
    new DataView(ports.buffer).setUint16(2, remote.port);
    const hash = rssHashOf(parseIp(local.address), parseIp(remote.address), ports);
    return port.queue(port.rss.queue(hash)).lane;
  }

  /** Whether lane `lane` can have connections: one that was given up cannot. */
  lives(lane: number): boolean {
    return !this.engine.lostLanes.includes(lane);
  }

  /** Whether a connection with these ends is one for lane `wish`; undefined: for any that lives. */
  suits(wish: number | undefined, ifindex: number, local: Endpoint, remote: Endpoint): boolean {
    if (wish !== undefined) return this.of(ifindex, local, remote) === wish;
    return this.engine.lostLanes.length === 0 || this.lives(this.of(ifindex, local, remote));
  }

  /** Names every lane, and the program that goes on with a segment there. */
  fill(map: CpuMap, program: LoadedProgram): void {
    for (let lane = 0; lane < this.engine.laneCount; lane++) map.set(lane, { qsize: QUEUE, program });
  }
}
