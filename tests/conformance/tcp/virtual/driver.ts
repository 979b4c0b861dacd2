/**
 * Scripts in virtual time: a host that runs inside of this thread, whose clock stands still between steps and jumps to
 * the next timer or to the end of a wait. For our own TCP: an inline engine over the model NIC is a `VirtualHost`.
 */
import type { Answer, Arrival, Call, Driver, Host, Moment, Setup } from '../driver.js';

/** A host that can be stepped. Times are ms of its own clock. */
export interface VirtualHost {
  readonly time: number;
  /** When a timer is due next; undefined when none is set. */
  readonly due: number | undefined;
  /** Gives it an IP packet, and runs it until it waits. */
  inject(packet: Uint8Array): void;
  /** IP packets that it sent since the last call, in order, with their times. */
  collect(): Arrival[];
  /** A call of an application; it never waits for the other end. */
  call(call: Call): Omit<Answer, 'at'> | Promise<Omit<Answer, 'at'>>;
  /** Sets the clock, never back, and runs what is due by then. */
  advance(to: number): void | Promise<void>;
  close(): void | Promise<void>;
}

/** Makes a host for a script. It has the address `address`; the script speaks from `peer`. */
export type MakeHost = (setup: Setup, address: string, peer: string) => VirtualHost | Promise<VirtualHost>;

class SteppedHost implements Host {
  readonly arrived: Arrival[] = [];

  constructor(
    readonly host: VirtualHost,
    readonly address: string,
    readonly peer: string,
  ) {}

  #take(): boolean {
    const more = this.host.collect();
    this.arrived.push(...more);
    return more.length > 0;
  }

  inject(packet: Uint8Array): Moment {
    const at = this.host.time;
    this.host.inject(packet);
    this.#take();
    return { at };
  }

  async call(call: Call): Promise<Answer> {
    const at = this.host.time;
    const answer = await this.host.call(call);
    this.#take();
    return { ...answer, at };
  }

  async now(): Promise<number> {
    return this.host.time;
  }

  async pass(deadline: number): Promise<boolean> {
    while (this.host.time < deadline) {
      await this.host.advance(Math.min(this.host.due ?? deadline, deadline));
      if (this.#take()) return true;
    }
    return false;
  }

  async close(): Promise<void> {
    await this.host.close();
  }
}

export class VirtualDriver implements Driver {
  constructor(
    readonly name: string,
    readonly make: MakeHost,
  ) {}

  async open(setup: Setup): Promise<Host> {
    const [address, peer] = setup.family === 6 ? ['fd99::1', 'fd99::2'] : ['10.99.0.1', '10.99.0.2'];
    return new SteppedHost(await this.make(setup, address, peer), address, peer);
  }

  async close(): Promise<void> {}
}
