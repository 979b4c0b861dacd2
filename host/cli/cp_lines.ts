/**
 * What cp says: cp_node's lines, or with --json an object a line, as docs/cp.md has them. An interval tells what happened in
 * it, `stopped` what happened in all.
 */
import type { MessageCarrier } from '../apps/cp/carrier.js';
import { type ClientSpan, clientLine, type MessageClient } from '../apps/cp/client.js';
import { Tally, TallySpan } from '../apps/load/tally.js';
import { percentile } from '../apps/workloads/slowdown.js';
import type { EtherloomError } from '../errors.js';
import { print, toJson } from './output.js';

export type Served = MessageCarrier['served'];

export interface CpInterval {
  /** Of the server, if there is one: since it began. */
  served?: Served;
  /** Of the client, if there is one: since it was last asked. */
  span?: ClientSpan;
  client?: MessageClient;
}

const NONE: Served = { requests: 0, bytesIn: 0, bytesOut: 0 };

const difference = (now: Served, before: Served): Served => ({
  requests: now.requests - before.requests,
  bytesIn: now.bytesIn - before.bytesIn,
  bytesOut: now.bytesOut - before.bytesOut,
});

function serverLine({ requests, bytesIn, bytesOut }: Served, seconds: number): string {
  const gbit = (n: number): string => ((n * 8) / seconds / 1e9).toFixed(3);
  const average = requests ? bytesIn / requests : 0;
  return (
    `Servers: ${(requests / seconds / 1000).toFixed(2)} Kops/sec, ${gbit(bytesIn)} Gbps in, ` +
    `${gbit(bytesOut)} Gbps out, avg. req. length ${average.toFixed(1)} bytes`
  );
}

/** Of times in ascending order, µs. */
const percentiles = (at: (share: number) => number) => ({ p50: at(0.5), p99: at(0.99), p999: at(0.999) });

export class CpLines {
  #served = NONE;
  /** Of all clients that there were. */
  readonly #total = { requests: 0, answers: 0, bytesOut: 0, bytesIn: 0, backedUp: 0 };
  readonly #times = new Tally();
  readonly errors = new Map<string, number>();
  readonly #told = new Set<string>();
  #called = false;

  constructor(readonly json: boolean) {}

  #say(event: string, what: object, text?: string): void {
    if (this.json) print(toJson({ event, ...what }, 0));
    else if (text) print(text);
  }

  started(role: string, protocol: string, how: string): void {
    this.#say('started', { role, protocol, how }, `cp ${role} over ${protocol}, ${how}`);
  }

  /** A request failed: said of the first of each kind. */
  failed(error: string): void {
    if (this.#told.has(error)) return;
    this.#told.add(error);
    this.#say('error', { error }, `error: ${error}: the first request that failed so`);
  }

  /** What a command of standard input came to. */
  obeyed(command: string, text: string): void {
    this.#say('command', { command, text }, text);
  }

  refused(command: string, { code, message, expected }: EtherloomError): void {
    this.#say('command', { command, error: { code, message, expected } }, message);
  }

  interval(seconds: number, { served, span, client }: CpInterval): void {
    const server = served && difference(served, this.#served);
    this.#served = { ...(served ?? NONE) };
    if (span) this.#add(span);
    if (!this.json) {
      if (server) print(serverLine(server, seconds));
      if (span) print(clientLine(span, seconds, client!));
      return;
    }
    const { times, errors, ...counts } = span ?? { times: new Float64Array(), errors: new Map() };
    const rttUs = times.length > 0 ? percentiles(share => percentile(times, share)) : null;
    const { lagMs, outstanding } = client ?? {};
    this.#say('interval', {
      ...{ seconds, server },
      client: span && { ...counts, errors, rttUs, lagMs, outstanding },
    });
  }

  /** Adds what happened since the last interval, and says nothing of it. */
  rest({ served, span }: CpInterval): void {
    if (served) this.#served = { ...served };
    if (span) this.#add(span);
  }

  #add({ times, errors, ...counts }: ClientSpan): void {
    this.#called = true;
    for (const [key, n] of Object.entries(counts)) this.#total[key as keyof typeof counts] += n;
    for (const us of times) this.#times.took(us * 1000);
    for (const [error, n] of errors) this.errors.set(error, (this.errors.get(error) ?? 0) + n);
  }

  /** @param unanswered requests that nothing was heard of */
  stopped(seconds: number, serves: boolean, unanswered: number): void {
    const span = new TallySpan([this.#times.numbers]);
    const rttUs = this.#total.answers > 0 ? percentiles(share => span.at(share) / 1000) : null;
    const client = { ...this.#total, errors: this.errors, rttUs, unanswered };
    const lines = [...this.errors].map(([error, n]) => `error: ${n} requests: ${error}`);
    if (unanswered > 0) lines.push(`error: ${unanswered} requests were not answered`);
    this.#say(
      'stopped',
      { seconds, server: serves ? this.#served : undefined, client: this.#called ? client : undefined },
      lines.join('\n'),
    );
  }
}
