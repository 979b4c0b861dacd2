/**
 * A host of the kernel with daemons on it, and a stack of ours that reaches them: AF_XDP on one end of a veth pair, the other
 * end in a namespace of its own. Daemons run there as nobody, in a folder of their own, and die with this process.
 *
 *   stack ─ engine ─ AF_XDP ══ veth ══ [ namespace: postgres · redis-server, as nobody; sshd ]
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../host/engine/engine.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { Stack } from '../../host/net/stack.js';
import { assert } from '../support/suite.js';
import { missing } from '../tcp/interop/missing.js';
import { Wire } from '../tcp/interop/wire.js';

/** Of nobody and nogroup, on every Linux. */
const NOBODY = 65534;
const READY_MS = 20_000;

/** Where Debian has a program: daemons are often beside the path. */
export function programPath(name: string): string | undefined {
  const versions = (): string[] => {
    try {
      return readdirSync('/usr/lib/postgresql').map(v => `/usr/lib/postgresql/${v}/bin`);
    } catch {
      return [];
    }
  };
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', ...versions()];
  return folders.map(folder => join(folder, name)).find(path => spawnSync('test', ['-x', path]).status === 0);
}

/** Why tests with these daemons cannot run here; undefined when they can. */
export function missingDaemon(...names: string[]): string | undefined {
  const absent = names.find(name => programPath(name) === undefined);
  return missing ?? (absent === undefined ? undefined : `${absent} is not installed`);
}

/** A folder that is nobody's, removed when the process ends or by `remove`. */
export class DaemonFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'el-daemon-'));
  readonly #remove = (): void => rmSync(this.path, { recursive: true, force: true });

  constructor() {
    chownSync(this.path, NOBODY, NOBODY);
    process.once('exit', this.#remove);
  }

  /** Writes a file that only the daemon may read. Returns its path. */
  file(name: string, content: string | Uint8Array): string {
    const path = join(this.path, name);
    writeFileSync(path, content, { mode: 0o600 });
    chownSync(path, NOBODY, NOBODY);
    return path;
  }

  remove(): void {
    process.off('exit', this.#remove);
    this.#remove();
  }
}

/** A program that runs on. */
export class Daemon {
  /** Everything that it said. */
  log = '';
  readonly ended: Promise<number | null>;

  constructor(
    readonly name: string,
    readonly child: ChildProcess,
  ) {
    for (const out of [child.stdout!, child.stderr!])
      out.setEncoding('utf8').on('data', text => (this.log += text));
    this.ended = new Promise(done => child.once('close', done));
  }

  /** Resolves when it has said that. @throws Error with all it said when it does not */
  async says(words: RegExp): Promise<void> {
    const until = performance.now() + READY_MS;
    while (!words.test(this.log)) {
      if (this.child.exitCode !== null || performance.now() > until)
        throw new Error(`${this.name} never said ${words}: ${this.log}`);
      await new Promise(next => setTimeout(next, 10));
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.child.kill(signal);
    await this.ended;
  }
}

const AS_NOBODY = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

/** Not longer than its parent, in that folder. */
const within = (folder: string, who: readonly string[]): string[] => [
  ...['setpriv', ...who, '--pdeathsig', 'KILL'],
  ...['env', '-C', folder, `HOME=${folder}`, 'LC_ALL=C.UTF-8'],
];

export class KernelHost {
  readonly folder = new DaemonFolder();
  readonly #daemons: Daemon[] = [];

  private constructor(
    readonly wire: Wire,
    readonly engine: Engine,
    readonly stack: Stack,
  ) {}

  static async open(): Promise<KernelHost> {
    const wire = await Wire.create({ nic: 'af_xdp', offload: true });
    let engine: Engine | undefined;
    try {
      engine = await Engine.create({
        ...{ nics: [wire.nic()], lanes: 1, warmMs: 0, frames: 8192, mapBytes: 64 << 20 },
        streams: { count: 64, bytes: 64 << 20, apps: 4 },
      });
      const addresses = [`${wire.address(4)}/24`, `${wire.address(6)}/64`];
      const stack = await Stack.create({ engine, ports: { [wire.nearLink]: { addresses } } });
      await engine.start();
      await wire.ready();
      return new KernelHost(wire, engine, stack);
    } catch (error) {
      await engine?.stop();
      wire.close();
      throw error;
    }
  }

  /** Where the daemons are. */
  get address(): string {
    return this.wire.peer();
  }

  get address6(): string {
    return this.wire.peer(6);
  }

  /** The stack's own address. */
  get own(): string {
    return this.wire.address();
  }

  /** Runs a program to its end, as nobody. @throws Error with what it said when it fails */
  async run(name: string, ...args: string[]): Promise<string> {
    const { code, out, err } = await this.wire.far.run(...this.#line(name, args));
    if (code !== 0) throw new Error(`${name} ended with ${code}: ${err}${out}`);
    return out;
  }

  /** Starts a daemon, and waits until it says that it is ready. */
  async start(ready: RegExp, name: string, ...args: string[]): Promise<Daemon> {
    return this.#started(ready, name, this.#line(name, args));
  }

  /** The same for one that lets others in, which only root can. */
  async startAsRoot(ready: RegExp, name: string, ...args: string[]): Promise<Daemon> {
    return this.#started(ready, name, this.#line(name, args, []));
  }

  async #started(ready: RegExp, name: string, line: [string, ...string[]]): Promise<Daemon> {
    const daemon = new Daemon(name, this.wire.far.spawn(...line));
    this.#daemons.push(daemon);
    await daemon.says(ready);
    return daemon;
  }

  #line(name: string, args: readonly string[], who = AS_NOBODY): [string, ...string[]] {
    const [first, ...rest] = within(this.folder.path, who);
    return [first, ...rest, programPath(name)!, ...args];
  }

  /** Ends all of it: nothing may be left in the stack and in the engine. */
  async close(): Promise<void> {
    try {
      for (const { child, ended } of this.#daemons) {
        child.kill('SIGKILL');
        await ended;
      }
      const { connections, listeners } = this.stack.net.loop.sockets;
      const open = [[...connections].length, [...listeners].length];
      await this.stack.close();
      const { open: streams, lost, used } = takeStreamLedger(this.engine.arena);
      const { ledger } = await this.engine.stop();
      assert.equal(open, [0, 0], 'connections and listeners that are open');
      assert.equal({ streams, lost, used }, { streams: 0, lost: 0, used: 0 });
      assert.is(ledger.lost + ledger.doubled, 0);
    } finally {
      await this.engine.stop();
      this.wire.close();
      this.folder.remove();
    }
  }
}
