/** What the tests use of ssh2, which `npm run fetch:software` brings: its own install script would build an addon. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Duplex, Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../../build/software/', import.meta.url));

type Told<T> = (error: Error | undefined, result: T) => void;

/** A channel: of bytes, with a second stream for errors. */
export interface Channel extends Duplex {
  stderr: Readable & Writable;
  exit(code: number): void;
}

export interface Sftp extends NodeJS.EventEmitter {
  createReadStream(path: string): Readable;
  createWriteStream(path: string): Writable;
  readdir(path: string, told: Told<{ filename: string; attrs: { size: number } }[]>): void;
  stat(path: string, told: Told<{ size: number }>): void;
  end(): void;
}

export interface ClientOptions {
  sock: Duplex;
  username: string;
  password?: string;
  privateKey?: string | Buffer;
  hostVerifier?: (key: Buffer) => boolean;
}

export interface SshClient extends NodeJS.EventEmitter {
  connect(options: ClientOptions): this;
  exec(command: string, told: Told<Channel>): void;
  sftp(told: Told<Sftp>): void;
  forwardOut(fromHost: string, fromPort: number, host: string, port: number, told: Told<Channel>): void;
  end(): void;
}

export interface AuthContext {
  method: string;
  username: string;
  password?: string;
  accept(): void;
  reject(methods?: string[]): void;
}

export interface SshServer extends NodeJS.EventEmitter {
  injectSocket(socket: unknown): void;
}

export interface Ssh2 {
  Client: new () => SshClient;
  Server: new (
    options: { hostKeys: (string | Buffer)[] },
    onConnection: (connection: NodeJS.EventEmitter & { end(): void }, info: { ip: string }) => void,
  ) => SshServer;
  utils: { generateKeyPairSync(kind: 'ed25519'): { private: string; public: string } };
}

function load(): { ssh2: Ssh2; missing?: undefined } | { ssh2?: undefined; missing: string } {
  try {
    return { ssh2: createRequire(join(FOLDER, 'x.js'))('ssh2') as Ssh2 };
  } catch {
    return { missing: 'ssh2 is not there: npm run fetch:software' };
  }
}

const loaded = load();
/** Undefined when it is there. */
export const missingSsh2 = loaded.missing;
export const ssh2 = loaded.ssh2 as Ssh2;
