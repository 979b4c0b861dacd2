/** A thread that is an application of a stack, by a ticket: an echo to whoever comes, connecting where it is told to. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Listener } from '../../host/net/burst/listener.js';
import type { StackEvent } from '../../host/net/burst/sockets.js';
import { StackApp, type StackTicket } from '../../host/net/burst/stack_app.js';
import type { SocketError } from '../../host/transports/errno.js';
import type { ConnectionOptions } from '../../host/transports/tcp/index.js';

export type Told =
  | { attached: number }
  | { port: number }
  | { id: number; port2: number }
  | { accepted: number }
  | { connected: number }
  | { over: string }
  | { refused: string };

export interface Order {
  listen?: number;
  connect?: { host: string; port: number; localPort?: number };
  unlisten?: boolean;
  close?: boolean;
}

const say = (told: Told): void => parentPort!.postMessage(told);
const app = StackApp.attach<ConnectionOptions>((workerData as { ticket: StackTicket }).ticket);
const events: StackEvent<ConnectionOptions>[] = [];
const listeners: Listener[] = [];
let over = false;

async function obey(order: Order): Promise<void> {
  if (order.listen !== undefined) {
    const listener = await app.listen({ port: order.listen });
    listeners.push(listener);
    say({ port: listener.port });
  }
  if (order.connect) {
    const c = await app.connect(order.connect);
    say({ id: c.id, port2: c.local.port });
  }
  if (order.unlisten) listeners.pop()?.close();
  if (order.close) {
    app.close();
    over = true;
  }
}

parentPort!.on('message', (order: Order) => {
  obey(order).catch((error: SocketError) => say({ refused: `${error.code} ${error.errno}` }));
});
say({ attached: app.number });

while (!over) {
  const n = app.poll(events);
  for (const e of events.slice(0, n)) {
    const c = e.connection;
    if (e.accepted) say({ accepted: c.remote.port });
    if (e.connected) say({ connected: c.id });
    for (const view of c.readViews()) {
      const taken = c.write(view);
      c.consume(taken);
      if (taken < view.length) break;
    }
    if (e.closed || (c.ended && c.readable === 0)) {
      say({ over: c.error ?? 'ended' });
      c.close();
    }
  }
  if (n === 0) await app.wait(20);
}
parentPort!.close();
