/**
 * Applications of other threads, as the stack's thread has them: a port each, over which they ask to connect, to listen and to bind,
 * and whose end is theirs.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { EtherloomError } from '../errors.js';
import { StreamRequest } from '../layout/layout.gen.js';
import type { StreamApps } from '../streams/stream_apps.js';
import type { LoadedTransport } from '../transports/contract.js';
import type { ClientPlace } from '../transports/messages.js';
import type { StackBindings } from './bindings.js';
import type { Requests } from './burst/burst.js';
import {
  type Answer,
  type Ask,
  type Asked,
  type ConnectOptions,
  errorTold,
  type ListenOptions,
  type Told,
} from './burst/calls.js';
import type { StackTicket } from './burst/stack_app.js';
import type { StackDatagrams } from './datagram_requests.js';
import type { StackMessages } from './message_requests.js';

interface Remote {
  number: number;
  port: MessagePort;
  /** Of the ticket: closed for good when the ticket went nowhere. */
  given: MessagePort;
  /** Slots of its listeners. */
  slots: Set<number>;
  /** Its sockets of datagrams, by stream, and who bound each. */
  sockets: Map<number, StackDatagrams>;
  /** Of calls over a transport of messages: its client, and ports that it serves. */
  client: ClientPlace | undefined;
  ports: Set<number>;
}

export class RemoteApps<O extends object> {
  readonly #remotes = new Map<number, Remote>();
  /** Applications that are no more, whose connections may still deliver. */
  readonly #former = new Set<number>();

  constructor(
    readonly apps: StreamApps,
    readonly transport: LoadedTransport<O>,
    readonly requests: Requests<O>,
    readonly bindings: StackBindings,
    readonly messages: StackMessages | undefined,
  ) {}

  /** Numbers of those that are no more, whose connections may still deliver. */
  get former(): Iterable<number> {
    return this.#former;
  }

  /** @throws EtherloomError ERR_APPS_FULL, ERR_ARENA_FULL */
  open(): StackTicket {
    const { number, life } = this.apps.open();
    this.#former.delete(number);
    const { port1, port2 } = new MessageChannel();
    const remote = {
      number,
      port: port1,
      given: port2,
      slots: new Set<number>(),
      sockets: new Map<number, StackDatagrams>(),
      client: undefined,
      ports: new Set<number>(),
    };
    this.#remotes.set(number, remote);
    // Whoever has the other end may use what is of that number until that end is gone.
    this.apps.hold(number);
    port1.on('message', (ask: unknown) => this.#answer(remote, ask));
    port1.on('close', () => {
      this.#end(remote);
      if (remote.client) this.messages?.leave(remote.client);
      this.apps.hold(number, false);
    });
    port1.unref();
    const { transport, shared } = this.transport;
    return {
      memory: this.apps.host.arena.memory,
      number,
      life,
      transport: transport.name,
      shared,
      ...(this.bindings.usual ? { datagrams: this.bindings.usual.told } : {}),
      ...(this.messages ? { messages: this.messages.told } : {}),
      port: port2,
    };
  }

  /** Anything may come by a port; what is no question is not answered. */
  #answer(remote: Remote, ask: unknown): void {
    if (this.#remotes.get(remote.number) !== remote || typeof ask !== 'object' || ask === null) return;
    const { n, asked } = ask as Ask;
    const answer: Answer = { n };
    try {
      const result = this.#do(remote, asked);
      if (result) answer.result = result;
    } catch (error) {
      answer.error = errorTold(error);
    }
    if (n !== 0) remote.port.postMessage(answer);
  }

  #do(remote: Remote, asked: Asked): Told {
    if (asked.call === 'connect')
      return this.requests.connect(asked.options as ConnectOptions<O>, remote.number);
    if (asked.call === 'listen') {
      const place = this.requests.listen(asked.options as ListenOptions<O>, remote.number);
      remote.slots.add(place.slot);
      return place;
    }
    if (asked.call === 'slots' || asked.call === 'serve' || asked.call === 'unserve')
      return this.#doMessages(remote, asked);
    if (asked.call !== 'unlisten') return this.#doDatagrams(remote, asked);
    // Its own only.
    if (remote.slots.delete(asked.slot)) this.transport.unlisten(asked.slot);
    return undefined;
  }

  #doMessages(remote: Remote, asked: Extract<Asked, { call: 'slots' | 'serve' | 'unserve' }>): Told {
    const { messages } = this;
    if (!messages)
      throw new EtherloomError('ERR_STACK_CALL', `call: ${asked.call}`, {
        expected: 'a stack with a transport of messages',
      });
    if (asked.call === 'slots') {
      remote.client ??= messages.client(remote.number);
      return messages.slots(remote.client, asked.address, asked.n);
    }
    if (asked.call === 'serve') {
      const port = messages.serve(remote.number, asked.port, asked.address);
      remote.ports.add(port);
      return [port];
    }
    // Its own only.
    if (remote.ports.delete(asked.port)) messages.unserve(asked.port);
    return undefined;
  }

  #doDatagrams(
    remote: Remote,
    asked: Exclude<Asked, { call: 'connect' | 'listen' | 'unlisten' | 'slots' | 'serve' | 'unserve' }>,
  ): Told {
    const { bindings } = this;
    if (asked.call === 'datagrams') return bindings.named(asked.name).told;
    if (asked.call === 'reach') return bindings.named(asked.transport).reach(asked.address);
    if (asked.call === 'bind') {
      const by = bindings.named(asked.options?.transport);
      const place = by.bind(asked.options, remote.number);
      remote.sockets.set(place.id, by);
      return place;
    }
    const what = asked.call;
    if (what !== 'associate' && what !== 'dissociate' && what !== 'unbind')
      throw new EtherloomError('ERR_STACK_CALL', `call: ${String(what)}`, {
        expected:
          'connect, listen, unlisten, bind, associate, dissociate, unbind, reach, datagrams, slots, serve, unserve',
      });
    const datagrams = remote.sockets.get(asked.id);
    if (!datagrams)
      throw new EtherloomError('ERR_STACK_SOCKET', `stream ${asked.id} is no socket of that application`);
    if (asked.call === 'associate') return datagrams.associate(asked.id, asked.remote, asked.local);
    if (asked.call === 'dissociate') datagrams.dissociate(asked.id);
    else {
      remote.sockets.delete(asked.id);
      datagrams.unbind(asked.id);
    }
    return undefined;
  }

  /** Numbers of those that are open. */
  get numbers(): Iterable<number> {
    return this.#remotes.keys();
  }

  /** A transport goes: sockets of it end, when what was sent before is out. Their threads hear that they are closed. */
  unbindAll(of: StackDatagrams): void {
    for (const { number, sockets } of this.#remotes.values()) {
      let any = false;
      for (const [id, by] of sockets)
        if (by === of) {
          any = sockets.delete(id);
          by.unbind(id);
        }
      if (any) this.apps.ask(number, of.protocol, StreamRequest.CLOSE);
    }
  }

  /** Whether there was such an application. */
  close(number: number): boolean {
    const remote = this.#remotes.get(number);
    return remote !== undefined && this.#end(remote);
  }

  closeAll(): void {
    for (const remote of [...this.#remotes.values()]) this.#end(remote);
  }

  #end(remote: Remote): boolean {
    const { number, port, given } = remote;
    if (this.#remotes.get(number) !== remote) return false;
    this.#remotes.delete(number);
    for (const slot of remote.slots) this.transport.unlisten(slot, true);
    for (const served of remote.ports) this.messages?.unserve(served);
    // First out of the tables: their numbers may be others' as soon as lanes have heard.
    for (const [id, by] of remote.sockets) by.unbind(id);
    this.apps.close(number);
    this.#former.add(number);
    // The other side closes its end when it hears of it. One that was never posted nobody hears of.
    port.postMessage({ n: 0, ended: true } satisfies Answer);
    given.close();
    return true;
  }
}
