/** The two clients: siege, whose clock has 10 ms, as in the report; and bench/native/http_client.c, which is exact. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Namespace } from '../../../tests/support/netns.js';
import { nativeTool } from '../../native/build.js';
import type { Target } from './chain.js';

export interface Transfer {
  readonly target: Target;
  /** Length of the body. */
  readonly bytes: number;
  readonly clients: number;
  /** Of each client, one after the other. */
  readonly requests: number;
}

/** What a client saw. */
export interface Outcome {
  requests: number;
  /** Complete and, where the client looks at it, byte by byte right. */
  ok: number;
  /** What went wrong, by kind. */
  errors: Record<string, number>;
  /** Time of 100 requests: of one client after the other, or of all clients together. */
  msPer100: number;
  /** Percentiles of one request, where the client knows them. */
  p50Us?: number;
  p90Us?: number;
  p99Us?: number;
  maxUs: number;
}

export type ClientName = 'client' | 'siege';

/** Turns what http_client printed into an outcome. */
export function readClient(text: string, clients: number): Outcome {
  const p = JSON.parse(text) as Record<string, number>;
  const kinds = Object.entries(p).filter(
    ([k, v]) => k !== 'requests' && k !== 'ok' && !k.endsWith('Us') && v > 0,
  );
  return {
    requests: p.requests,
    ok: p.ok,
    errors: Object.fromEntries(kinds),
    // One client: the sum of its requests, without the comparing of bodies between them.
    msPer100: clients === 1 ? p.meanUs / 10 : p.elapsedUs / p.requests / 10,
    p50Us: p.p50Us,
    p90Us: p.p90Us,
    p99Us: p.p99Us,
    maxUs: p.maxUs,
  };
}

export async function runClient(from: Namespace, t: Transfer): Promise<Outcome> {
  const args = [t.target.host, t.target.port, t.bytes, t.requests, t.clients].map(String);
  const text = await inside(from, nativeTool('http_client'), ...args);
  return text === undefined ? cutOff(t) : readClient(text, t.clients);
}

/** Turns siege's JSON into an outcome; what siege does not speak of has failed, too. */
export function readSiege(text: string, asked: number): Outcome {
  const json = JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)) as Record<string, number>;
  const ok = Math.min(asked, json.successful_transactions);
  return {
    requests: asked,
    ok,
    errors: ok === asked ? {} : { failed: asked - ok },
    msPer100: (json.elapsed_time * 1e5) / asked,
    maxUs: json.longest_transaction * 1e6,
  };
}

/** Why there is no siege; undefined when there is. */
export const missingSiege = (): string | undefined =>
  spawnSync('siege', ['--version'], { stdio: 'ignore' }).error ? 'siege is not installed' : undefined;

const SIEGERC = `verbose = false
logging = false
show-logfile = false
connection = close
protocol = HTTP/1.1
parser = false
benchmark = true
failures = 1000000
timeout = 10
`;

/** siege with a configuration of its own: no delay, no log, a connection per request, pages not parsed. */
export class Siege {
  private readonly home = mkdtempSync(join(tmpdir(), 'etherloom-siege-'));

  constructor() {
    writeFileSync(join(this.home, 'siegerc'), SIEGERC);
  }

  async run(from: Namespace, t: Transfer): Promise<Outcome> {
    const url = `http://${t.target.host}:${t.target.port}/${t.bytes}`;
    const args = ['-R', join(this.home, 'siegerc'), '-j', '-c', `${t.clients}`, '-r', `${t.requests}`, url];
    // siege makes a folder in HOME.
    const text = await inside(from, 'env', `HOME=${this.home}`, 'siege', ...args);
    return text === undefined ? cutOff(t) : readSiege(text, t.clients * t.requests);
  }

  close(): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** A chain that stands still costs each request its 10 s; the cell is cut off before all have been tried. */
const CELL_LIMIT_MS = 120_000;

/** What the program printed; undefined when it was cut off. @throws Error when it could not run */
async function inside(namespace: Namespace, command: string, ...args: string[]): Promise<string | undefined> {
  const child = namespace.spawn(command, ...args);
  let out = '';
  let err = '';
  child.stdout!.setEncoding('utf8').on('data', text => (out += text));
  child.stderr!.setEncoding('utf8').on('data', text => (err += text));
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, CELL_LIMIT_MS);
  // Rejects when it cannot be started.
  const [code, signal] = await once(child, 'close').finally(() => clearTimeout(limit));
  if (late) return undefined;
  if (!out.includes('{'))
    throw new Error(`${command} ${args.join(' ')}: ended with ${signal ?? code}: ${err}`);
  return out;
}

function cutOff(t: Transfer): Outcome {
  const requests = t.clients * t.requests;
  const ms = CELL_LIMIT_MS / (requests / 100);
  return { requests, ok: 0, errors: { 'cut off': requests }, msPer100: ms, maxUs: CELL_LIMIT_MS * 1000 };
}
