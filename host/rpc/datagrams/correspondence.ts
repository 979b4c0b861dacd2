/** What is known of one peer of a socket: messages of it that came in part, and requests of it that are to be answered. */
import type { Correspondent } from '../../streams/datagram_end.js';
import type { KeptRequest } from '../event.js';
import type { Part } from '../parts.js';
import type { Post } from './post.js';

export class Correspondence {
  /** By call: messages that came in part. */
  readonly parts = new Map<number, Part>();
  /** A server's: requests that were not answered, by call: the turn, or who keeps it. */
  readonly open = new Map<number, number | KeptRequest>();
  /** When something was heard of it, ms. */
  heardMs = 0;

  constructor(
    readonly post: Post,
    readonly to: Correspondent,
    readonly address: string,
  ) {}

  forget(call: number): void {
    this.parts.get(call)?.drop();
    this.parts.delete(call);
  }

  drop(): void {
    for (const part of this.parts.values()) part.drop();
    this.parts.clear();
  }
}
