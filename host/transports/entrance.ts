/**
 * The entrance of a host at its ports: programs that hand every packet to the transport that it is for
 * (bpf-progs/transports/entrance/). One for each stack; transports are put in and taken out while packets pass.
 *
 *   put(protocol, programs) ─▶ ingress_of · errors_of · gen_of · egress_of        attach(port) ─▶ XDP, XDP_GEN, XDP_EGRESS
 */
import { fileURLToPath } from 'node:url';
import { Collection } from '../bpf/collection.js';
import type { ProgArrayMap } from '../bpf/maps/index.js';
import { openObject } from '../bpf/open.js';
import type { Attachment, Engine } from '../engine/engine.js';
import type { LoadedProgram } from '../engine/program.js';
import type { Port } from '../nic/port.js';

export const ENTRANCE_OBJECT = fileURLToPath(new URL('../../bpf-progs/obj/entrance.bpf.o', import.meta.url));

/** Programs of one transport, as `Collection.program(name).placed` has them. */
export interface TransportPrograms {
  /** Packets of its IP protocol. What it passes goes on to the port's responder, then up. */
  ingress: LoadedProgram;
  /** ICMP errors that quote packets of its protocol. Default: they pass. */
  errors?: LoadedProgram;
  /** Makes the packets of its streams. */
  gen: LoadedProgram;
  /** When they leave. Default: at once. */
  egress?: LoadedProgram;
}

/** What looks further into a packet before it is a transport's, by IP protocol. */
const OWN: readonly [protocol: number, program: string][] = [
  [0, 'entrance_options'],
  [1, 'entrance_icmp'],
  [58, 'entrance_icmp'],
  [60, 'entrance_options'],
];
const MAPS = { ingress: 'ingress_of', errors: 'errors_of', gen: 'gen_of', egress: 'egress_of' } as const;
const KINDS = Object.keys(MAPS) as (keyof TransportPrograms)[];
/** What comes in comes last: what it makes ready finds who sends it. */
const HOOKED = ['entrance_gen', 'entrance_egress', 'entrance'];

export class Entrance {
  readonly #attachments: Attachment[] = [];
  readonly #transports = new Set<number>();

  private constructor(
    readonly engine: Engine,
    readonly collection: Collection<LoadedProgram>,
  ) {}

  /** @throws EtherloomError ERR_ARENA_FULL when the engine's mapBytes do not do */
  static async load(engine: Engine): Promise<Entrance> {
    const collection = await Collection.load(openObject(ENTRANCE_OBJECT), engine);
    const entrance = new Entrance(engine, collection);
    for (const [protocol, name] of OWN)
      entrance.#map('ingress').set(protocol, collection.program(name).placed);
    return entrance;
  }

  #map(kind: keyof TransportPrograms): ProgArrayMap {
    return this.collection.map<ProgArrayMap>(MAPS[kind]);
  }

  /** Gives a transport the packets of its protocol, and its streams. The programs of the one before have them no more. */
  put(protocol: number, programs: TransportPrograms): void {
    this.#transports.add(protocol);
    // As at the port: first who sends, then who takes.
    for (const kind of [...KINDS].reverse()) {
      const program = programs[kind];
      if (program) this.#map(kind).set(protocol, program);
      else this.#map(kind).delete(protocol);
    }
  }

  /** Takes a transport out: packets of its protocol pass, its streams send nothing. */
  remove(protocol: number): void {
    if (!this.#transports.delete(protocol)) return;
    for (const kind of KINDS) this.#map(kind).delete(protocol);
  }

  /** Stands at a port from now on, in place of whatever was hooked there. */
  attach(port: Port): void {
    for (const name of HOOKED)
      this.#attachments.push(this.engine.attach(this.collection.program(name).placed, port));
  }

  /** Leaves the ports, and knows no transport any more: their programs can be unloaded. */
  async close(): Promise<void> {
    for (const a of this.#attachments.splice(0)) await this.engine.detach(a);
    for (const protocol of [...this.#transports]) this.remove(protocol);
    await this.collection.close();
  }
}
