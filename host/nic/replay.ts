/**
 * NICs that play template packets at full speed: benchmarks and the main job. The lanes play them
 * (assembly/nic/replay.ts); the host writes the templates into the scratch region once, dealt to the lanes by flow.
 *
 *   ReplayNic   templates ─▶ rx ring ─▶ lane
 *   ReplayEnd   templates ─▶ tx ring ─▶ model link ─▶ RSS ─▶ rx ring ─▶ lane        and back: counted and freed
 */
import { EtherloomError } from '../errors.js';
import { type LinkView, ReplayLayout, ReplayView } from '../layout/layout.gen.js';
import { HostNic, type HostNicOptions } from './host_nic.js';
import type { ModelEnd } from './model.js';
import type { Nic, NicEnv, NicKind } from './nic.js';
import { MAX_PACKET, type Port } from './port.js';

export interface Templates {
  /** Packets to play, in this order within each flow. */
  packets: readonly Uint8Array[];
  /** Times that all of them are played. Default 1. */
  rounds?: number;
  /** Packets to play in all, instead of `rounds`. */
  count?: number;
}

export interface ReplayOptions extends HostNicOptions, Templates {}

/** Templates in the arena, dealt to the queues of one port. */
class Player {
  /** For each queue: numbers of the templates that it plays, in order. */
  #dealt: number[][] = [];
  #replays: ReplayView[] = [];
  #open: { env: NicEnv; port: Port } | undefined;

  constructor(
    readonly name: string,
    readonly templates: Templates,
  ) {
    const { packets } = templates;
    if (packets.length === 0)
      throw new EtherloomError('ERR_REPLAY_EMPTY', `${name} has nothing to play`, {
        expected: 'at least one packet',
      });
    for (const [i, p] of packets.entries())
      if (p.length > MAX_PACKET)
        throw new EtherloomError('ERR_NIC_PACKET', `packet ${i} has ${p.length} bytes`, {
          offset: i,
          expected: `at most ${MAX_PACKET} bytes`,
        });
  }

  /** @param feedOf the ring that queue `q` of the port plays into */
  open(env: NicEnv, port: Port, feedOf: (q: number) => number): void {
    const { arena, core } = env;
    const { packets } = this.templates;
    this.#open = { env, port };
    this.#dealt = Array.from({ length: port.queueCount }, () => []);
    const places = packets.map((packet, i) => {
      const at = arena.scratch.alloc(Math.max(packet.length, 16), 16);
      arena.u8.set(packet, at);
      this.#dealt[core.exports.port_steer(port.at, at, packet.length)].push(i);
      return at;
    });
    this.#replays = this.#dealt.map((list, q) => {
      const templatesAt = arena.scratch.alloc(Math.max(8, list.length * 8), 8);
      list.forEach((packet, i) => {
        arena.u32[(templatesAt >> 2) + i * 2] = places[packet];
        arena.u32[(templatesAt >> 2) + i * 2 + 1] = packets[packet].length;
      });
      const at = arena.rings.alloc(ReplayLayout.size, 64);
      arena.u8.fill(0, at, at + ReplayLayout.size);
      const view = new ReplayView(arena.dv, at);
      Object.assign(view, { templatesAt, count: list.length, feedAt: feedOf(q) });
      port.queue(q).replayAt = at;
      return view;
    });
    this.again();
  }

  again(more: { rounds?: number; count?: number } = this.templates): void {
    const { env, port } = this.#open!;
    const templates = this.templates.packets.length;
    const total = more.count ?? (more.rounds ?? 1) * templates;
    const rounds = Math.floor(total / templates);
    const rest = total % templates;
    for (const [q, list] of this.#dealt.entries()) {
      const view = this.#replays[q];
      view.cursor = 0;
      view.remaining = BigInt(rounds * list.length + list.filter(i => i < rest).length);
      if (list.length) env.core.exports.ring_wake(port.queue(q).lane);
    }
  }

  get played(): number {
    return this.#replays.reduce((n, r) => n + Number(r.played), 0);
  }

  get busy(): boolean {
    return this.#replays.some(r => r.remaining !== 0n);
  }
}

/** Plays straight into the receive rings of its port. */
export class ReplayNic extends HostNic {
  override readonly kind: NicKind = 'replay';
  readonly #player: Player;

  /** @throws EtherloomError ERR_REPLAY_EMPTY, ERR_NIC_PACKET for a packet that fits no frame */
  constructor(readonly replay: ReplayOptions) {
    super({ name: 'replay', ...replay });
    this.#player = new Player(this.name, replay);
  }

  override open(env: NicEnv): Port {
    const port = super.open(env);
    this.#player.open(env, port, q => port.queue(q).rxFeedAt);
    return port;
  }

  /** Winds back: plays `rounds` rounds (or `count` packets) once more. While lanes run, only when not busy. */
  again(more?: { rounds?: number; count?: number }): void {
    this.#player.again(more);
  }

  /** Packets played so far. */
  get played(): number {
    return this.#player.played;
  }

  override get busy(): boolean {
    return this.#player.busy || super.busy;
  }
}

/**
 * One end of a model link at which the lanes play templates onto the wire. What the other end sends arrives here like at
 * any port; without a program it passes.
 */
export class ReplayEnd implements Nic {
  readonly kind: NicKind = 'model';
  readonly #player: Player;

  /** @throws EtherloomError ERR_REPLAY_EMPTY, ERR_NIC_PACKET for a packet that fits no frame */
  constructor(
    readonly end: ModelEnd,
    templates: Templates,
  ) {
    this.#player = new Player(end.name, templates);
  }

  get name(): string {
    return this.end.name;
  }

  open(env: NicEnv): Port {
    const port = this.end.open(env);
    this.#player.open(env, port, q => port.tx(port.queue(q).lane));
    return port;
  }

  connect(): void {
    this.end.connect();
  }

  /** As ReplayNic.again. */
  again(more?: { rounds?: number; count?: number }): void {
    this.#player.again(more);
  }

  /** Packets put on the wire so far. */
  get played(): number {
    return this.#player.played;
  }

  poll(): number {
    return this.end.poll();
  }

  get busy(): boolean {
    return this.#player.busy || this.end.busy;
  }

  nextDueNs(): bigint | undefined {
    return this.end.nextDueNs();
  }

  holders(): { name: string; frames(): Iterable<number> }[] {
    return this.end.holders();
  }

  /** @internal The engine's bookkeeping looks for them here, as at the end itself. */
  get links(): LinkView[] {
    return this.end.links;
  }

  /** @internal */
  get farPort(): Port | undefined {
    return this.end.farPort;
  }

  close(): void {
    this.end.close();
  }
}
