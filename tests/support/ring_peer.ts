/** The other thread of the ring test: produces numbered descriptors. */
import { Arena } from '../../host/mem/arena.js';
import { benchCore } from './bench_core.js';

export interface RingPeerTask {
  memory: WebAssembly.Memory;
  core: WebAssembly.Module;
  /** Producer view. */
  ring: number;
  total: number;
  burst: number;
}

export default function produce({ memory, core, ring, total, burst }: RingPeerTask): void {
  benchCore(Arena.attach(memory), 0, core).ring_produce_numbers(ring, total, burst);
}
