/** There is no multicast: what Node's sockets have for it is refused. */
import { EventEmitter } from 'node:events';
import { systemError } from '../sockets/errors.js';

export abstract class NoGroups extends EventEmitter {
  /** @internal @throws when the socket is closed */
  abstract running(): void;

  #refuse(call: string): never {
    this.running();
    throw systemError(call, 'EOPNOTSUPP');
  }

  /** @throws EOPNOTSUPP, as all that follow */
  addMembership(): void {
    this.#refuse('addMembership');
  }

  dropMembership(): void {
    this.#refuse('dropMembership');
  }

  addSourceSpecificMembership(): void {
    this.#refuse('addSourceSpecificMembership');
  }

  dropSourceSpecificMembership(): void {
    this.#refuse('dropSourceSpecificMembership');
  }

  setMulticastTTL(): void {
    this.#refuse('setMulticastTTL');
  }

  setMulticastLoopback(): void {
    this.#refuse('setMulticastLoopback');
  }

  setMulticastInterface(): void {
    this.#refuse('setMulticastInterface');
  }
}
