/**
 * A Unix socket by which another process of the same user sees and upgrades the transports of an engine: `etherloom swap`.
 * Who may open it may run programs in the engine, so it is the owner's alone from its first moment on.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { EtherloomError } from '../errors.js';
import { type ControlPlace, claim, placeOf, unusable, workplace } from './control_path.js';
import { ControlPeer, dismiss, PATIENCE_MS } from './control_peer.js';
import { answer, ControlError, type ControlRequest, parseRequest, refusal } from './control_protocol.js';
import type { Transports } from './transports.js';

export type { ControlPlace } from './control_path.js';

/** What it tells of. */
export interface Controlled {
  readonly transports: Transports;
  readonly state: string;
  readonly laneCount: number;
  readonly lostLanes: readonly number[];
}

const OWNER_ONLY = 0o600;
const MOST_CLIENTS = 16;
/** Connections: so many more are told that there are too many. */
const MOST_CONNECTIONS = 2 * MOST_CLIENTS;

export class ControlSocket {
  readonly #clients = new Set<Socket>();
  /** Of the clients, those that are not refused. */
  #served = 0;
  readonly #server: Server;
  #inode: bigint | undefined;
  readonly #atExit = (): void => this.#unlink();
  #closed: Promise<void> | undefined;

  private constructor(
    readonly engine: Controlled,
    readonly path: string,
    readonly patienceMs: number,
  ) {
    this.#server = createServer({ allowHalfOpen: true }, client => this.#accept(client));
    this.#server.maxConnections = MOST_CONNECTIONS;
    this.#server.on('error', () => {});
  }

  /**
   * @param patienceMs for how long a client may be silent, or leave an answer
   * @throws EtherloomError ERR_CONTROL_PATH, ERR_CONTROL_IN_USE
   */
  static async open(
    engine: Controlled,
    place: ControlPlace,
    patienceMs: number = PATIENCE_MS,
  ): Promise<ControlSocket> {
    const socket = new ControlSocket(engine, placeOf(place), patienceMs);
    await socket.#listen();
    return socket;
  }

  async #listen(): Promise<void> {
    const server = this.#server;
    // When it gets its place it has its permissions, and libuv unlinks no file of that name.
    const { made, clear } = workplace(this.path);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(made, () => {
          server.off('error', reject);
          resolve();
        });
      });
      chmodSync(made, OWNER_ONLY);
      this.#inode = lstatSync(made, { bigint: true }).ino;
      await claim(made, this.path);
    } catch (cause) {
      server.close();
      throw cause instanceof EtherloomError ? cause : unusable(this.path, cause);
    } finally {
      clear();
    }
    // The engine says how long the process lives.
    server.unref();
    process.on('exit', this.#atExit);
  }

  #accept(client: Socket): void {
    client.unref();
    client.on('error', () => {});
    this.#clients.add(client);
    client.on('close', () => this.#clients.delete(client));
    if (this.#served >= MOST_CLIENTS) {
      const expected = `at most ${MOST_CLIENTS} at a time`;
      dismiss(client, new EtherloomError('ERR_CONTROL_BUSY', 'too many clients', { expected }));
      return;
    }
    this.#served++;
    client.on('close', () => this.#served--);
    new ControlPeer(client, line => this.#serve(line), this.patienceMs);
  }

  /** Never rejects. */
  async #serve(line: string): Promise<string> {
    let request: ControlRequest;
    try {
      request = parseRequest(line);
    } catch (error) {
      return refusal(error instanceof ControlError ? error.id : null, error);
    }
    try {
      return answer(request.id, await this.#do(request));
    } catch (error) {
      return refusal(request.id, error);
    }
  }

  #do(request: ControlRequest): unknown {
    const { engine } = this;
    switch (request.method) {
      case 'list':
        return { transports: engine.transports.list() };
      case 'about':
        return {
          ...{ pid: process.pid, state: engine.state },
          ...{ lanes: engine.laneCount, lostLanes: engine.lostLanes },
        };
      case 'upgrade':
        return engine.transports.upgrade(request.transport, request.object, request.options);
    }
  }

  /** Ends all connections and takes the file away, if it is still this one's. */
  close(): Promise<void> {
    this.#closed ??= new Promise(done => {
      process.off('exit', this.#atExit);
      this.#unlink();
      this.#server.close(() => done());
      for (const client of this.#clients) client.destroy();
    });
    return this.#closed;
  }

  /** Another may have its place by now. */
  #unlink(): void {
    try {
      if (lstatSync(this.path, { bigint: true }).ino === this.#inode) unlinkSync(this.path);
    } catch {
      // It is gone.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
