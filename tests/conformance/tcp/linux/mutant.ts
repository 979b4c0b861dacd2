/**
 * A kernel with a fault: segments are changed on their way, so that the host seems to do wrong what it does right. What a
 * script is worth shows when it notices.
 */
import type { Answer, Arrival, Call, Driver, Host, Moment, Setup } from '../driver.js';
import { decode, encode, type Segment } from '../segment.js';

/** A segment as it is, changed, or lost. */
export type Change = (s: Segment) => Segment | undefined;

export interface Mutant {
  fault: string;
  /** What the host sends. Made anew for each script. */
  out?: () => Change;
  /** What the host receives. Packets with a wrong checksum are given, too; what is returned has a right one. */
  in?: () => Change;
}

class MutantHost implements Host {
  readonly arrived: Arrival[] = [];
  readonly #out: Change | undefined;
  readonly #in: Change | undefined;

  constructor(
    readonly host: Host,
    { out, in: into }: Mutant,
  ) {
    this.#out = out?.();
    this.#in = into?.();
  }

  get address(): string {
    return this.host.address;
  }

  get peer(): string {
    return this.host.peer;
  }

  static #changed(packet: Uint8Array, change: Change | undefined): Uint8Array | undefined {
    const decoded = change && decode(packet);
    if (!decoded?.segment) return packet;
    const changed = change!(decoded.segment);
    return changed === decoded.segment ? packet : changed && encode(decoded.ends, changed);
  }

  #take(): boolean {
    const before = this.arrived.length;
    for (const { at, packet } of this.host.arrived.splice(0)) {
      const changed = MutantHost.#changed(packet, this.#out);
      if (changed) this.arrived.push({ at, packet: changed });
    }
    return this.arrived.length > before;
  }

  inject(packet: Uint8Array): Moment {
    const changed = MutantHost.#changed(packet, this.#in);
    return changed ? this.host.inject(changed) : {};
  }

  async call(call: Call): Promise<Answer> {
    const answer = await this.host.call(call);
    this.#take();
    return answer;
  }

  async now(): Promise<number> {
    const at = await this.host.now();
    this.#take();
    return at;
  }

  async pass(deadline: number): Promise<boolean> {
    while (await this.host.pass(deadline)) if (this.#take()) return true;
    return false;
  }

  close(): Promise<void> {
    return this.host.close();
  }
}

/** Hosts of `driver`, each with the fault. */
export class MutantDriver implements Driver {
  readonly name: string;

  constructor(
    readonly driver: Driver,
    readonly mutant: Mutant,
  ) {
    this.name = `${driver.name} that ${mutant.fault}`;
  }

  async open(setup: Setup): Promise<Host> {
    return new MutantHost(await this.driver.open(setup), this.mutant);
  }

  async close(): Promise<void> {}
}
