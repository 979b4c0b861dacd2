/** Commands of the CLI that run on, as processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Namespace } from './netns.js';
import { assert } from './suite.js';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const MAIN = join(ROOT, 'dist/cli/main.js');

/** Where a command runs. */
export interface Where {
  ns?: Namespace;
  fds?: number[];
  node?: string;
}

/** A command that runs, of dist/, with --json: its events as they come. */
export class Running {
  readonly events: Record<string, unknown>[] = [];
  readonly #child: ChildProcess;
  readonly #closed: Promise<number | null>;
  #err = '';

  constructor(args: string[], where: Where = {}) {
    const line = [where.node ?? process.execPath, MAIN, ...args, '--json'];
    const [command, ...rest] = where.ns ? ['ip', 'netns', 'exec', where.ns.name, ...line] : line;
    this.#child = spawn(command, rest, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe', ...(where.fds ?? [])],
    });
    createInterface({ input: this.#child.stdout! }).on('line', text => {
      if (text.startsWith('{"event"')) this.events.push(JSON.parse(text));
      else this.#err += text;
    });
    this.#child.stderr!.setEncoding('utf8').on('data', text => (this.#err += text));
    this.#closed = new Promise(resolve => this.#child.once('close', resolve));
  }

  /** The first event of that name. */
  async event(name: string): Promise<Record<string, unknown>> {
    const until = performance.now() + 45_000;
    for (;;) {
      const found = this.events.find(e => e.event === name);
      if (found) return found;
      if (this.#child.exitCode !== null || performance.now() > until)
        throw new Error(`no "${name}": ${this.#err}${JSON.stringify(this.events)}`);
      await new Promise(r => setTimeout(r, 10));
    }
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    return this.#closed;
  }

  /** Ctrl-C, and what it then says. */
  async stop(): Promise<Record<string, unknown>> {
    assert.is(await this.end('SIGINT'), 0, this.#err);
    return this.event('stopped');
  }
}

/** `etherloom attach`. */
export class Attached extends Running {
  constructor(args: string[], where: Where = {}) {
    super(['attach', ...args], where);
  }
}
