/** Processes of the apps bench, as the bench has them: started, asked, stopped while others are measured. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Answer, Order, Plan } from './plan.js';

const SCRIPT = fileURLToPath(new URL('actor.ts', import.meta.url));
/** Beyond what an order takes by itself, ms. */
const LATE_MS = 60_000;

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Actor {
  readonly #lines: string[] = [];
  #heard: (() => void) | undefined;
  #said = '';
  #end: string | undefined;

  private constructor(
    readonly name: string,
    readonly child: ChildProcess,
  ) {
    running.add(child);
    createInterface({ input: child.stdout! }).on('line', line => {
      this.#lines.push(line);
      this.#heard?.();
    });
    child.stderr!.setEncoding('utf8').on('data', text => {
      this.#said = (this.#said + text).slice(-2000);
    });
    const ended = (why: unknown): void => {
      running.delete(child);
      this.#end ??= String(why);
      this.#heard?.();
    };
    child.once('error', ended);
    child.once('close', (code, signal) => ended(code ?? signal));
  }

  /**
   * Starts one and waits until it is ready. @param cpus that it keeps to; undefined: it does so itself
   * @throws Error with what it said when it is not
   */
  static async start(name: string, plan: Plan, cpus?: string, namespace?: string): Promise<Actor> {
    const command = [
      ...(namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace]),
      ...(cpus === undefined ? [] : ['taskset', '-c', cpus]),
      ...[process.execPath, '--import', 'tsx', SCRIPT, JSON.stringify(plan)],
    ];
    const child = spawn(command[0], command.slice(1), { stdio: 'pipe' });
    const actor = new Actor(name, child);
    await actor.#line(LATE_MS);
    return actor;
  }

  async #line(ms: number): Promise<string> {
    const late = performance.now() + ms;
    while (this.#lines.length === 0) {
      if (this.#end !== undefined) throw new Error(`${this.name} ended with ${this.#end}: ${this.#said}`);
      const left = late - performance.now();
      if (left <= 0) throw new Error(`${this.name} says nothing for ${ms} ms: ${this.#said}`);
      await new Promise<void>(done => {
        const timer = setTimeout(done, left);
        this.#heard = () => {
          clearTimeout(timer);
          done();
        };
      });
      this.#heard = undefined;
    }
    return this.#lines.shift()!;
  }

  async order(order: Order): Promise<Answer> {
    this.child.stdin!.write(`${JSON.stringify(order)}\n`);
    const answer = JSON.parse(await this.#line(order.warmMs + order.ms + LATE_MS)) as Answer;
    if (answer.errors.length) throw new Error(`${this.name}: ${answer.errors.join('; ')}`);
    return answer;
  }

  pause(): void {
    this.child.kill('SIGSTOP');
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    if (this.#end !== undefined) return;
    const gone = new Promise(done => this.child.once('close', done));
    this.child.kill('SIGKILL');
    await gone;
  }
}
