/**
 * Network namespaces for tests against the real kernel: named el-PART-PID-N, removed when they are closed, and at the
 * latest when the process ends.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

let made = 0;
const open = new Set<string>();
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const name of open) spawnSync('ip', ['netns', 'delete', name]);
});

/** Why tests cannot make namespaces here; undefined when they can. */
export const missingNamespaces = ((): string | undefined => {
  if (process.platform !== 'linux') return `network namespaces need Linux, this is ${process.platform}`;
  if (spawnSync('ip', ['-V'], { stdio: 'ignore' }).error) return 'ip (iproute2) is not installed';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  return undefined;
})();

/** Why there is no TUN/TAP here. */
export const missingTun = existsSync('/dev/net/tun') ? missingNamespaces : 'there is no /dev/net/tun';

export interface Ran {
  code: number | null;
  out: string;
  err: string;
}

/** Runs a program without stopping this thread: engines that it polls go on. */
export function runAsync(command: string, args: readonly string[], input?: string): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', text => (out += text));
    child.stderr.setEncoding('utf8').on('data', text => (err += text));
    child.on('error', reject);
    child.on('close', code => resolve({ code, out, err }));
    child.stdin.end(input);
  });
}

export class Namespace {
  readonly name: string;

  constructor(part: string) {
    this.name = `el-${part}-${process.pid}-${made++}`;
    ip('netns', 'add', this.name);
    open.add(this.name);
    this.ip('link', 'set', 'lo', 'up');
  }

  /** `ip` inside. @throws Error with what it said */
  ip(...args: string[]): string {
    return ip('-n', this.name, ...args);
  }

  /** Moves an interface of this thread's namespace in, gives it addresses and brings it up. */
  adopt(link: string, ...addresses: string[]): void {
    ip('link', 'set', link, 'netns', this.name);
    this.configure(link, ...addresses);
  }

  configure(link: string, ...addresses: string[]): void {
    for (const a of addresses)
      this.ip('address', 'add', a, 'dev', link, ...(a.includes(':') ? ['nodad'] : []));
    this.ip('link', 'set', link, 'up');
  }

  /** Runs a program inside. */
  run(command: string, ...args: string[]): Promise<Ran> {
    return runAsync('ip', ['netns', 'exec', this.name, command, ...args]);
  }

  /** Starts a program inside that is to run on; it is killed when this process ends. */
  spawn(command: string, ...args: string[]): ChildProcess {
    return this.#start('ignore', command, args);
  }

  /** The same, with a stdin to write to. */
  spawnFed(command: string, ...args: string[]): ChildProcess {
    return this.#start('pipe', command, args);
  }

  #start(stdin: 'ignore' | 'pipe', command: string, args: readonly string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.name, command, ...args], {
      stdio: [stdin, 'pipe', 'pipe'],
    });
    running.add(child);
    child.once('close', () => running.delete(child));
    return child;
  }

  /** `ping`, and how many answers came. */
  async ping(
    address: string,
    ...options: string[]
  ): Promise<{ sent: number; received: number; out: string }> {
    const { out, err } = await this.run('ping', '-n', '-i', '0.05', '-W', '2', ...options, address);
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(out) ?? [];
    return { sent: Number(sent), received: Number(received), out: out + err };
  }

  close(): void {
    if (!open.delete(this.name)) return;
    spawnSync('ip', ['netns', 'delete', this.name]);
  }
}

/** @throws Error with what `ip` said */
export function ip(...args: string[]): string {
  const r = spawnSync('ip', args, { encoding: 'utf8' });
  if (r.status !== 0) throw new Error(`ip ${args.join(' ')}: ${r.stderr || r.error?.message}`);
  return r.stdout;
}

/** A name for an interface, at most 15 characters and not used by another test process. */
export const linkName = (prefix: string): string =>
  `${prefix}${(process.pid % 100000).toString(36)}${made++}`;
