/** How clients of HTTP connect through a stack: agents for `http` and `https`, a connector for undici. */
import { type AgentOptions, Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions as HttpsAgentOptions } from 'node:https';
import { isIP } from 'node:net';
import { type TLSSocket, type ConnectionOptions as TlsOptions, connect as tlsConnect } from 'node:tls';
import { nameEnds } from './secure.js';
import type { Socket } from './socket.js';

/** `net.connect` of a stack. */
export type SocketMaker = (options: object) => Socket;

/** An agent whose connections are the stack's. */
export class StackAgent extends HttpAgent {
  readonly #make: SocketMaker;

  /** @internal Made by StackNet. */
  constructor(make: SocketMaker, options?: AgentOptions) {
    super(options);
    this.#make = make;
  }

  /** @internal Called by http. */
  override createConnection(options: object): Socket {
    return this.#make(options);
  }
}

/** TLS over a socket that is connecting. */
function over(socket: Socket, options: TlsOptions): TLSSocket {
  const secure = tlsConnect({ ...options, socket });
  socket.once('connect', () => nameEnds(secure, socket));
  return secure;
}

/** The same for `https`. */
export class StackSecureAgent extends HttpsAgent {
  readonly #make: SocketMaker;

  /** @internal Made by StackNet. */
  constructor(make: SocketMaker, options?: HttpsAgentOptions) {
    super(options);
    this.#make = make;
  }

  /** @internal Called by https. */
  override createConnection(options: TlsOptions): TLSSocket {
    return over(this.#make(options), options);
  }
}

/** What undici says of a connection that it wants. */
export interface ConnectorRequest {
  hostname: string;
  protocol: string;
  port: string | number;
  servername?: string | null;
  localAddress?: string | null;
  /** TLS goes over this one: the request came through a proxy. */
  httpSocket?: Socket;
}

export interface ConnectorOptions extends TlsOptions {
  /** How long connecting, and the handshake of TLS, may take, ms. Default 10,000; 0: as long as the transport tries. */
  timeout?: number;
  /** HTTP/2 where the server has it, for an undici agent that has the same option. Default false. */
  allowH2?: boolean;
}

type Connected = (error: Error | null, socket: Socket | TLSSocket | null) => void;

const CONNECT_MS = 10_000;
const PORTS = { 'http:': 80, 'https:': 443 } as const;

/** What undici's option `connect` takes. */
export type Connector = (request: ConnectorRequest, done: Connected) => Socket | TLSSocket;

/** A function for undici's option `connect`. */
export function connectorOf(make: SocketMaker, options: ConnectorOptions = {}): Connector {
  const { timeout = CONNECT_MS, allowH2 = false, ...tls } = options;
  const ALPNProtocols = allowH2 ? ['h2', 'http/1.1'] : ['http/1.1'];
  return (request, done) => {
    const { hostname, protocol, servername, localAddress, httpSocket } = request;
    const secure = protocol === 'https:';
    const port = Number(request.port) || PORTS[secure ? 'https:' : 'http:'];
    const plain =
      httpSocket ?? make({ host: hostname, port, noDelay: true, localAddress: localAddress ?? undefined });
    const name = servername ?? (isIP(hostname) ? '' : hostname);
    const socket = secure ? over(plain, { ALPNProtocols, servername: name, ...tls, host: hostname }) : plain;
    let answered = false;
    const answer = (error: Error | null): void => {
      if (answered) return;
      answered = true;
      clearTimeout(timer);
      done(error, error ? null : socket);
    };
    const timer =
      timeout > 0
        ? setTimeout(() => socket.destroy(connectTimeout(hostname, port, timeout)), timeout).unref()
        : undefined;
    socket.once(secure ? 'secureConnect' : 'connect', () => answer(null)).once('error', answer);
    return socket;
  };
}

/** By undici's code: its dispatchers try again on it. */
const connectTimeout = (host: string, port: number, ms: number): Error =>
  Object.assign(new Error(`no connection to ${host}:${port} within ${ms} ms`), {
    name: 'ConnectTimeoutError',
    code: 'UND_ERR_CONNECT_TIMEOUT',
  });
