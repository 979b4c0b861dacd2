/**
 * The addresses of one `connect`, one after the other, as `net` tries them: families in turn (RFC 8305 §4), each but the
 * last for a short time. The first that is connected to ends it; when none was, the errors of all are one.
 */
import { isIP } from 'node:net';
import type { ConnectTarget } from './arguments.js';
import { connectFailure, refusal } from './dial.js';
import { blockedError } from './errors.js';

/** Who connects. */
export interface Attempting {
  emit(event: string, ...args: unknown[]): boolean;
  listenerCount(event: string): number;
  /** Begins to connect there. What it throws is why it cannot. */
  attempt(target: ConnectTarget): void;
  /** Lets go of what `attempt` began. */
  withdraw(): void;
  /** There is no address left. */
  gaveUp(error: Error): void;
}

export class Attempts {
  /** The one under way. */
  at: ConnectTarget;
  readonly #errors: Error[] = [];
  #next = 0;
  #timer: NodeJS.Timeout | undefined;
  #over = false;
  /** Whether a connect that found it connected was answered. */
  answered = false;

  constructor(
    readonly target: ConnectTarget,
    readonly addresses: readonly string[],
    readonly who: Attempting,
  ) {
    this.at = target;
  }

  /** Those that were tried, when there are several. */
  get attempted(): string[] | undefined {
    const { addresses, target } = this;
    return addresses.length < 2 ? undefined : addresses.slice(0, this.#next).map(a => `${a}:${target.port}`);
  }

  /** Nothing came of it yet. */
  get isGoing(): boolean {
    return !this.#over;
  }

  get #place(): [string, number, number] {
    return [this.at.host, this.at.port, isIP(this.at.host)];
  }

  /** Goes on to the next address. */
  next(): void {
    const { target, addresses, who } = this;
    // Who was told of the last one may have ended it.
    if (this.#over) return;
    const host = addresses[this.#next++];
    if (host === undefined) return who.gaveUp(this.#error());
    this.at = { ...target, host };
    if (who.listenerCount('connectionAttempt') > 0) who.emit('connectionAttempt', ...this.#place);
    if (this.#over) return;
    if (target.blockList?.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4'))
      return this.failed(blockedError(host));
    // Nobody has port 0: a SYN there is answered by a reset.
    if (target.port === 0) return this.failed(connectFailure(this.at, 'ECONNREFUSED'));
    try {
      who.attempt(this.at);
    } catch (error) {
      return this.failed(refusal(this.at, error));
    }
    if (this.#next < addresses.length) this.#timer = setTimeout(() => this.#late(), target.attemptMs);
  }

  /** The attempt under way came to nothing. */
  failed(error: Error): void {
    clearTimeout(this.#timer);
    this.who.withdraw();
    this.who.emit('connectionAttemptFailed', ...this.#place, error);
    this.#errors.push(error);
    this.next();
  }

  #late(): void {
    this.who.withdraw();
    this.who.emit('connectionAttemptTimeout', ...this.#place);
    this.#errors.push(connectFailure(this.at, 'ETIMEDOUT'));
    this.next();
  }

  /** It is connected, or no more wanted. */
  stop(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #error(): Error {
    const [first] = this.#errors as [NodeJS.ErrnoException];
    return this.#errors.length === 1
      ? first
      : Object.assign(new AggregateError(this.#errors), { code: first.code });
  }
}
