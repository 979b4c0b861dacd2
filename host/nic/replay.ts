/**
 * A NIC that plays template packets at full speed: benchmarks and the main job. The lanes play them (assembly/nic/replay.ts);
 * the host writes the templates into the scratch region once, dealt to the queues by RSS.
 */
import { EtherloomError } from '../errors.js';
import { ReplayLayout, ReplayView } from '../layout/layout.gen.js';
import { HostNic, type HostNicOptions, MAX_PACKET } from './host_nic.js';
import type { NicEnv, NicKind } from './nic.js';
import type { Port } from './port.js';

export interface ReplayOptions extends HostNicOptions {
  /** Packets to play, in this order within each flow. */
  packets: readonly Uint8Array[];
  /** Times that all of them are played. Default 1. */
  rounds?: number;
  /** Packets to play in all, instead of `rounds`. */
  count?: number;
}

export class ReplayNic extends HostNic {
  override readonly kind: NicKind = 'replay';
  /** For each queue: numbers of the templates that it plays, in order. */
  #dealt: number[][] = [];
  #replays: ReplayView[] = [];

  constructor(readonly replay: ReplayOptions) {
    super({ name: 'replay', ...replay });
    if (replay.packets.length === 0)
      throw new EtherloomError('ERR_REPLAY_EMPTY', `${this.name} has nothing to play`, {
        expected: 'at least one packet',
      });
    for (const [i, p] of replay.packets.entries())
      if (p.length > MAX_PACKET)
        throw new EtherloomError('ERR_NIC_PACKET', `packet ${i} has ${p.length} bytes`, {
          offset: i,
          expected: `at most ${MAX_PACKET} bytes`,
        });
  }

  override open(env: NicEnv): Port {
    const port = super.open(env);
    const { arena, core } = env;
    this.#dealt = Array.from({ length: port.queueCount }, () => []);
    const places = this.replay.packets.map((packet, i) => {
      const at = arena.scratch.alloc(Math.max(packet.length, 16), 16);
      arena.u8.set(packet, at);
      this.#dealt[core.exports.port_steer(port.at, at, packet.length)].push(i);
      return at;
    });
    this.#replays = this.#dealt.map((list, q) => {
      const templatesAt = arena.scratch.alloc(Math.max(8, list.length * 8), 8);
      list.forEach((packet, i) => {
        arena.u32[(templatesAt >> 2) + i * 2] = places[packet];
        arena.u32[(templatesAt >> 2) + i * 2 + 1] = this.replay.packets[packet].length;
      });
      const at = arena.rings.alloc(ReplayLayout.size, 64);
      arena.u8.fill(0, at, at + ReplayLayout.size);
      const view = new ReplayView(arena.dv, at);
      Object.assign(view, { templatesAt, count: list.length });
      port.queue(q).replayAt = at;
      return view;
    });
    this.again();
    return port;
  }

  /** Winds back: plays `rounds` rounds (or `count` packets) once more. While lanes run, only when not busy. */
  again(more: { rounds?: number; count?: number } = this.replay): void {
    const templates = this.replay.packets.length;
    const total = more.count ?? (more.rounds ?? 1) * templates;
    const rounds = Math.floor(total / templates);
    const rest = total % templates;
    for (const [q, list] of this.#dealt.entries()) {
      const view = this.#replays[q];
      view.cursor = 0;
      view.remaining = BigInt(rounds * list.length + list.filter(i => i < rest).length);
      if (list.length) this.env.core.exports.ring_wake(this.port.queue(q).lane);
    }
  }

  /** Packets played so far. */
  get played(): number {
    return this.#replays.reduce((n, r) => n + Number(r.played), 0);
  }

  override get busy(): boolean {
    return this.#replays.some(r => r.remaining !== 0n);
  }
}
