/** Connections that are made and ended, so many at a time: on the burst API, and on sockets of a stack or of Node. */
import { performance } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import type { Calling, CallPlace, Net } from '../../../host/apps/levels.js';
import type * as Tallies from '../../../host/apps/load/tally.js';
import type { Connection } from '../../../host/net/burst/connection.js';
import type { StackEvent } from '../../../host/net/burst/sockets.js';
import type { Stack } from '../../../host/net/stack.js';
import type { ConnectionOptions } from '../../../host/transports/tcp/index.js';
import { built } from '../../harness/built.js';

const { Tally } = await built<typeof Tallies>('apps/load/tally');

/** A connection that was made is an answer to who asked for it. */
function note(tally: InstanceType<typeof Tally>, since: number): void {
  tally.received(0, 1);
  tally.took((performance.now() - since) * 1e6);
}

/** By bursts: made and ended in the same batch. */
export class BurstConnects {
  readonly tally = new Tally();
  readonly errors: string[] = [];
  #begun = false;

  constructor(
    readonly stack: Stack,
    readonly place: CallPlace,
  ) {}

  #connect(): void {
    const { host, port } = this.place;
    this.stack.burst.connect({ host, port, data: performance.now() });
  }

  readonly news = (events: readonly StackEvent<ConnectionOptions>[], n: number): void => {
    for (let i = 0; i < n; i++) {
      const { connection, connected, closed, error } = events[i];
      if (connected) this.#made(connection);
      else if (closed) {
        this.errors.push(error ?? 'a connection ended before it was made');
        connection.close();
      }
    }
  };

  #made(connection: Connection<ConnectionOptions>): void {
    note(this.tally, connection.data as number);
    connection.close();
    this.#connect();
  }

  get calling(): Calling {
    return {
      numbers: () => [this.tally.numbers.slice()],
      errors: this.errors,
      goOn: () => {
        if (this.#begun) return;
        this.#begun = true;
        for (let i = 0; i < this.place.flows; i++) this.#connect();
      },
      close: async () => {},
    };
  }
}

/** By sockets: the next is asked for when the one before has said that it is connected. */
export function socketConnects(net: Net, { host, port, flows }: CallPlace): Calling {
  const tally = new Tally();
  const errors: string[] = [];
  const connect = (): void => {
    const since = performance.now();
    const socket: Duplex = net.connect({ host, port, noDelay: false });
    socket.once('connect', () => {
      note(tally, since);
      socket.end();
      connect();
    });
    socket.on('error', error => errors.push((error as NodeJS.ErrnoException).code ?? error.message));
    socket.resume();
  };
  return {
    numbers: () => [tally.numbers.slice()],
    errors,
    goOn() {
      for (let i = 0; i < flows; i++) connect();
    },
    close: async () => {},
  };
}
