/** What sockets of datagrams in another thread ask of the stack: by messages, in order, answered later. */
import type { Endpoint } from '../../transports/contract.js';
import type { BindPlace, DatagramView } from '../../transports/datagrams.js';
import type { Asked, DatagramsTold, Told } from './calls.js';
import type { BindOptions, DatagramRequests } from './datagrams.js';

/** So long it is believed that there is a way, ms: as long as lanes believe it (bpf-progs/transports/udp/route.h). */
const WAY_MS = 2000;
/** Addresses of which it is known. */
const MOST_WAYS = 1024;

/** Longest payload that the stack's ports take, bytes. */
export type Longest = Readonly<Record<4 | 6, number>>;

export class AskedDatagrams implements DatagramRequests {
  /** Ways that there are, until when; and those that are asked for: who sends there meanwhile waits for the same answer. */
  readonly #ways = new Map<string, number>();
  readonly #asking = new Map<string, Promise<void>>();

  constructor(
    readonly told: DatagramsTold,
    readonly view: DatagramView,
    readonly ask: (asked: Asked) => Promise<Told>,
    /** Wants no answer. */
    readonly tell: (asked: Asked) => void,
  ) {}

  get protocol(): number {
    return this.told.protocol;
  }

  bind({ data, ...options }: BindOptions): Promise<BindPlace> {
    return this.ask({ call: 'bind', options }) as Promise<BindPlace>;
  }

  associate(id: number, remote: Endpoint, local: string | undefined): Promise<string> {
    return this.ask({ call: 'associate', id, remote, local }) as Promise<string>;
  }

  dissociate(id: number): void {
    this.tell({ call: 'dissociate', id });
  }

  /** Resolves also when there is nobody any more who could answer. */
  unbind(id: number): Promise<void> {
    return this.ask({ call: 'unbind', id }).then(
      () => {},
      () => {},
    );
  }

  reach(address: string): Promise<void> | undefined {
    const asking = this.#asking.get(address);
    if (asking) return asking;
    if (performance.now() < (this.#ways.get(address) ?? 0)) return undefined;
    const asked = this.ask({ call: 'reach', address, transport: this.told.name })
      .then(() => {
        if (this.#ways.size >= MOST_WAYS) this.#ways.clear();
        this.#ways.set(address, performance.now() + WAY_MS);
      })
      .finally(() => this.#asking.delete(address));
    this.#asking.set(address, asked);
    return asked;
  }

  most(family: 4 | 6): number {
    return this.told.longest[family];
  }
}
