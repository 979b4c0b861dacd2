/**
 * A Unix socket by which another process of the same user sees and upgrades the transports of an engine: `etherloom swap`.
 * Who may open it may run programs in the engine, so it is the owner's alone from its first moment on.
 */
import { chmodSync, lstatSync, mkdirSync, renameSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { EtherloomError } from '../errors.js';
import {
  answer,
  ControlError,
  type ControlRequest,
  Lines,
  MAX_LINE,
  parseRequest,
  refusal,
} from './control_protocol.js';
import type { Transports } from './transports.js';

/** The socket: where it is, or the folder that gets one named by the process. */
export type ControlPlace = { path: string } | { directory: string };

/** What it tells of. */
export interface Controlled {
  readonly transports: Transports;
  readonly state: string;
  readonly laneCount: number;
  readonly lostLanes: readonly number[];
}

const OWNER_ONLY = 0o600;
/** umask under which a socket gets those. */
const UMASK = 0o177;
const MOST_CLIENTS = 16;
/** Requests of one client that may wait. */
const MOST_WAITING = 16;
/** It is made under another name: when it has its place it has its permissions, and libuv unlinks no file of that name. */
const NEW = '.new';
/** sockaddr_un.sun_path, without the 0 at its end (unix(7)), less that. */
const MAX_PATH = 107 - NEW.length;
/** Is somebody there? */
const ASK_MS = 1000;

export class ControlSocket {
  readonly #clients = new Set<Socket>();
  readonly #server: Server;
  #inode: bigint | undefined;
  readonly #atExit = (): void => this.#unlink();
  #closed: Promise<void> | undefined;

  private constructor(
    readonly engine: Controlled,
    readonly path: string,
  ) {
    this.#server = createServer(client => this.#accept(client));
    this.#server.maxConnections = MOST_CLIENTS;
    this.#server.on('error', () => {});
  }

  /** @throws EtherloomError ERR_CONTROL_PATH, ERR_CONTROL_IN_USE */
  static async open(engine: Controlled, place: ControlPlace): Promise<ControlSocket> {
    const path = placeOf(place);
    await clear(path);
    await clear(path + NEW);
    const socket = new ControlSocket(engine, path);
    await socket.#listen();
    return socket;
  }

  async #listen(): Promise<void> {
    const server = this.#server;
    // The file is made within listen(). Only the main thread may change the umask; elsewhere chmod must do.
    const before = isMainThread ? process.umask(UMASK) : undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        try {
          server.listen(this.path + NEW, () => {
            server.off('error', reject);
            resolve();
          });
        } finally {
          if (before !== undefined) process.umask(before);
        }
      });
      chmodSync(this.path + NEW, OWNER_ONLY);
      renameSync(this.path + NEW, this.path);
      this.#inode = lstatSync(this.path, { bigint: true }).ino;
    } catch (cause) {
      server.close();
      throw unusable(this.path, cause);
    }
    // The engine says how long the process lives.
    server.unref();
    process.on('exit', this.#atExit);
  }

  #accept(client: Socket): void {
    this.#clients.add(client);
    client.unref();
    const lines = new Lines();
    let waiting = 0;
    let turn = Promise.resolve();
    const say = (text: string): void => {
      if (client.writable) client.write(text);
    };
    client.on('data', (piece: Buffer) => {
      for (const line of lines.take(piece)) {
        if (line === undefined) {
          const expected = `at most ${MAX_LINE} bytes`;
          say(refusal(null, new EtherloomError('ERR_CONTROL_LINE', 'a longer line', { expected })));
          client.end();
          return;
        }
        if (line.trim() === '') continue;
        if (++waiting >= MOST_WAITING) client.pause();
        turn = turn
          .then(() => this.#serve(line))
          .then(say)
          .finally(() => {
            if (--waiting < MOST_WAITING) client.resume();
          });
      }
    });
    client.on('error', () => {});
    client.on('close', () => this.#clients.delete(client));
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

const unusable = (path: string, cause: unknown): EtherloomError =>
  new EtherloomError('ERR_CONTROL_PATH', `no control socket there: ${(cause as Error).message}`, {
    ...{ file: path, cause },
    expected: 'a place for a file in a folder of its owner',
  });

/** @throws EtherloomError ERR_CONTROL_PATH */
function placeOf(place: ControlPlace): string {
  const given = place as { path?: unknown; directory?: unknown } | null | undefined;
  const expected = '{ path } or { directory }';
  const text = given?.path ?? given?.directory;
  if (typeof text !== 'string' || text === '' || text.includes('\0'))
    throw new EtherloomError('ERR_CONTROL_PATH', 'no path for the control socket', { expected });
  let path = text;
  if (given?.path === undefined) {
    try {
      mkdirSync(text, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw unusable(text, cause);
    }
    path = join(text, `etherloom-${process.pid}.sock`);
  }
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH)
    throw new EtherloomError('ERR_CONTROL_PATH', `a path of ${bytes} bytes`, {
      ...{ file: path, expected: `at most ${MAX_PATH} bytes, as Unix sockets have` },
    });
  return path;
}

/** Takes away a socket that nobody listens at any more. @throws EtherloomError ERR_CONTROL_PATH, ERR_CONTROL_IN_USE */
async function clear(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) throw unusable(path, new Error('a file that is no socket'));
  if (await answers(path))
    throw new EtherloomError('ERR_CONTROL_IN_USE', 'another process listens there', {
      ...{ file: path, expected: 'a path of its own' },
    });
  unlinkSync(path);
}

/** Whether somebody listens at a socket; who does not say so in time is taken for one who does. */
function answers(path: string): Promise<boolean> {
  return new Promise(done => {
    const probe = createConnection(path);
    const end = (is: boolean): void => {
      clearTimeout(late);
      probe.destroy();
      done(is);
    };
    const late = setTimeout(end, ASK_MS, true);
    probe.once('connect', () => end(true));
    probe.once('error', error => end((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED'));
  });
}
