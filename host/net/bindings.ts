/** Who binds sockets of datagrams, by the name of their transport: of all that a stack has. */
import { noDatagrams } from './burst/datagrams.js';
import type { StackDatagrams } from './datagram_requests.js';

export class StackBindings {
  readonly #of = new Map<string, StackDatagrams>();
  #usual: StackDatagrams | undefined;

  /** The transport that is meant where none is named. */
  get usual(): StackDatagrams | undefined {
    return this.#usual;
  }

  get names(): string[] {
    return [...this.#of.keys()];
  }

  has(name: string): StackDatagrams | undefined {
    return this.#of.get(name);
  }

  add(datagrams: StackDatagrams, usual = false): void {
    this.#of.set(datagrams.name, datagrams);
    if (usual) this.#usual = datagrams;
  }

  /** Nobody binds there any more. */
  end(name: string): StackDatagrams | undefined {
    const datagrams = this.#of.get(name);
    datagrams?.end();
    this.#of.delete(name);
    if (this.#usual === datagrams) this.#usual = undefined;
    return datagrams;
  }

  /** @throws EtherloomError ERR_STACK_DATAGRAMS */
  named(name?: string): StackDatagrams {
    const found = name === undefined ? this.#usual : this.#of.get(name);
    if (!found) throw noDatagrams(name, [...this.#of.keys()]);
    return found;
  }
}
