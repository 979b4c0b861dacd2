/**
 * `stack.net`: what software that is given Node's `net` finds there, on the stack instead of the kernel.
 *
 *   const { createServer, connect } = stack.net;      the functions need no `this`
 */

import type { AgentOptions } from 'node:http';
import type { AgentOptions as HttpsAgentOptions } from 'node:https';
import {
  BlockList,
  getDefaultAutoSelectFamily,
  getDefaultAutoSelectFamilyAttemptTimeout,
  isIP,
  isIPv4,
  isIPv6,
  SocketAddress,
  setDefaultAutoSelectFamily,
  setDefaultAutoSelectFamilyAttemptTimeout,
} from 'node:net';
import type { ConnectionOptions } from '../../transports/tcp/index.js';
import { type Datagrams, noDatagrams } from '../burst/datagrams.js';
import type { StackTicket } from '../burst/stack_app.js';
import { StackApp } from '../burst/stack_app.js';
import { StackDgram } from '../datagrams/dgram.js';
import {
  type Connector,
  type ConnectorOptions,
  connectorOf,
  StackAgent,
  StackSecureAgent,
} from './agents.js';
import { callArguments } from './arguments.js';
import { clientSocket } from './channels.js';
import { SocketLoop } from './loop.js';
import { type Served, UnderServer } from './serve.js';
import { type OnConnection, Server, type ServerOptions } from './server.js';
import { Socket } from './socket.js';
import type { SocketOptions } from './socket_options.js';

export class StackNet {
  readonly isIP = isIP;
  readonly isIPv4 = isIPv4;
  readonly isIPv6 = isIPv6;
  readonly BlockList = BlockList;
  readonly SocketAddress = SocketAddress;
  /** Of `net` and of all stacks. */
  readonly getDefaultAutoSelectFamily = getDefaultAutoSelectFamily;
  readonly setDefaultAutoSelectFamily = setDefaultAutoSelectFamily;
  readonly getDefaultAutoSelectFamilyAttemptTimeout = getDefaultAutoSelectFamilyAttemptTimeout;
  readonly setDefaultAutoSelectFamilyAttemptTimeout = setDefaultAutoSelectFamilyAttemptTimeout;
  /** Sockets of this stack, not connected yet: `new stack.net.Socket(options).connect(…)`. */
  readonly Socket: new (
    options?: SocketOptions,
  ) => Socket;
  /** Servers of this stack. */
  readonly Server: new (
    options?: ServerOptions | OnConnection,
    onConnection?: OnConnection,
  ) => Server;

  readonly #datagrams: Datagrams | undefined;
  #dgram: StackDgram | undefined;

  /** @internal Made by Stack. */
  constructor(
    readonly loop: SocketLoop,
    datagrams: Datagrams | undefined,
  ) {
    this.#datagrams = datagrams;
    this.Socket = class extends Socket {
      constructor(options?: SocketOptions) {
        super(loop, options);
      }
    };
    this.Server = class extends Server {
      constructor(options?: ServerOptions | OnConnection, onConnection?: OnConnection) {
        super(loop, options, onConnection);
      }
    };
  }

  /**
   * Sockets in a thread that is not the stack's, as an application of its own: `StackNet.attach(ticket)` with the ticket of
   * `stack.openApp()`. @throws EtherloomError ERR_APP_UNKNOWN, ERR_TRANSPORT_UNKNOWN
   */
  static attach(ticket: StackTicket): StackNet {
    const app = StackApp.attach<ConnectionOptions>(ticket);
    const calls = {
      connect: app.connect.bind(app),
      listen: app.listen.bind(app),
      end: () => app.close(),
    };
    return new StackNet(new SocketLoop(app.sockets, calls), app.datagrams.usual);
  }

  /**
   * What Node's `dgram` is, beside these sockets: `createSocket`, `Socket`.
   * @throws EtherloomError ERR_STACK_DATAGRAMS for a stack without a transport of datagrams
   */
  get dgram(): StackDgram {
    if (this.#dgram) return this.#dgram;
    if (!this.#datagrams) throw noDatagrams();
    this.#dgram = new StackDgram(this.loop, this.#datagrams);
    return this.#dgram;
  }

  /**
   * Closes its sockets, whose peers are reset, and its servers. Those of a stack end with it. In another thread it resolves
   * when what ended before needs that thread no more: StackApp.close.
   */
  async close(): Promise<void> {
    await this.loop.close();
  }

  /** A server, which `listen` starts. @throws TypeError ERR_INVALID_ARG_TYPE */
  readonly createServer = (options?: ServerOptions | OnConnection, onConnection?: OnConnection): Server =>
    new Server(this.loop, options, onConnection);

  /**
   * `connect(options, cb)`, `connect(port, host, cb)`: a socket that connects. Options are those of the socket, of its
   * `connect`, and `timeout`, ms. @throws TypeError, RangeError as Node's
   */
  readonly connect = (...args: unknown[]): Socket => {
    const { options, callback } = callArguments(args);
    const socket = new Socket(this.loop, options as SocketOptions);
    if (clientSocket.hasSubscribers) clientSocket.publish({ socket });
    if (options.timeout) socket.setTimeout(options.timeout as number);
    return callback ? socket.connect(options, callback) : socket.connect(options);
  };

  /** The same, as `net` has it. */
  readonly createConnection = this.connect;

  /** For `http.request({ agent })`. */
  readonly agent = (options?: AgentOptions): StackAgent => new StackAgent(this.connect, options);

  /** For `https.request({ agent })`. */
  readonly secureAgent = (options?: HttpsAgentOptions): StackSecureAgent =>
    new StackSecureAgent(this.connect, options);

  /** For undici: `new Agent({ connect: stack.net.connector() })`. */
  readonly connector = (options?: ConnectorOptions): Connector => connectorOf(this.connect, options);

  /** Lets a server of `http`, `https`, `http2` or `tls` listen here: `net.serve(web, 80)`. @throws as Server.listen */
  readonly serve = (server: Served, ...args: unknown[]): Server =>
    new UnderServer(this.loop, server).listen(...args);
}
