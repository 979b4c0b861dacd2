/**
 * A folder served over HTTP behind firewall and load balancer, all of it in one engine: the edge with a lane of its own, four
 * servers with another, a client with a third; between them shared-memory links. Every stage counts, and what they count
 * must agree to the packet. With a NIC to the outside its clients are there, instead.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Engine } from '../../engine/engine.js';
import type { EngineReport } from '../../engine/report.js';
import { checkLedger } from '../../mem/frames.js';
import { Stack } from '../../net/stack.js';
import { joint, modelLink, type Nic } from '../../nic/index.js';
import { formatMac } from '../../wire/address.js';
import { files } from '../files/files.js';
import { disagreements } from './agreement.js';
import { BACKEND_PORT, BACKENDS, CLIENT, DENIED, Edge, type EdgeCounts, GATEWAY, SERVICE } from './edge.js';

/** Whose lane is which. The edge's is where an outside NIC's first queue is. */
const LANE = { edge: 0, servers: 1, client: 2 } as const;
/** Requests under way at a time. */
const AT_A_TIME = 4;
/** How long the client on the deny list waits for an answer, ms. */
const KNOCK_MS = 300;
/** How long the last acknowledgments may be under way, ms. */
const SETTLE_MS = 5000;
/** Longest time of an answer, ms. */
const ANSWER_MS = 30_000;

/** What came of one file. */
export interface Fetched {
  name: string;
  status: number;
  bytes: number;
  sha256: string;
  /** The file's own. */
  expected: string;
}

/** TCP's segments of one end; `again`: those of `out` that were sent before. */
export interface Segments {
  in: number;
  out: number;
  again: number;
}

/** What our own client did, and what came of it. */
export interface ClientReport extends Segments {
  address: string;
  fetched: Fetched[];
  /** What became of the connection from an address that the firewall denies: nothing, if all is well. */
  denied: { address: string; answer: string | undefined };
  ms: number;
}

export interface BackendReport {
  address: string;
  connections: number;
  /** Answers by status. */
  statuses: Record<string, number>;
}

export interface WebReport {
  /** None where clients are outside. */
  client?: ClientReport;
  edge: EdgeCounts;
  servers: Segments & { backends: BackendReport[] };
  /** What is not as it should be. */
  faults: string[];
}

type Backend = BackendReport & { web: Server };

export class BalancedWeb {
  readonly #stacks: Stack[] = [];
  #backends: Backend[] = [];
  #edge!: Edge;
  #servers!: Stack;
  #client: Stack | undefined;
  #done: Pick<ClientReport, 'fetched' | 'denied' | 'ms'> | undefined;

  private constructor(
    readonly engine: Engine,
    readonly folder: string,
  ) {}

  /**
   * @param nic where clients are; without it there is one of our own, for `fetch`
   * @throws EtherloomError ERR_FILES_FOLDER, ERR_NIC_*; VerifierError
   */
  static async open(folder: string, nic?: Nic): Promise<BalancedWeb> {
    const outer = modelLink({ name: 'outer', queues: 1, firstLanes: [LANE.client, LANE.edge] });
    const inner = modelLink({ name: 'inner', queues: 1, firstLanes: [LANE.edge, LANE.servers] });
    const lan = joint({ name: 'lan' });
    const engine = await Engine.create({
      ...({ lanes: nic ? 2 : 3, pass: 'count', frames: 16384, mapBytes: 48 << 20 } as const),
      nics: [...(nic ? [nic] : [outer.a, outer.b]), lan.a, lan.b, inner.a, inner.b],
      streams: { count: 256, bytes: 48 << 20, apps: 4 },
    });
    const web = new BalancedWeb(engine, folder);
    try {
      if (!nic) web.#client = await web.#host('outer.a', [`${CLIENT}/24`, `${DENIED}/24`]);
      const addresses = BACKENDS.map(address => `${address}/24`);
      web.#servers = await web.#host('inner.b', addresses, GATEWAY);
      const ports = { outer: nic?.name ?? 'outer.b', inner: 'inner.a', router: 'lan.a', balancer: 'lan.b' };
      web.#edge = await Edge.open(engine, ports, formatMac(engine.port('inner.b').mac));
      await engine.start();
      web.#backends = await Promise.all(BACKENDS.map(address => serve(web.#servers, address, folder)));
      return web;
    } catch (error) {
      await web.#end().catch(() => {});
      throw error;
    }
  }

  async #host(port: string, addresses: string[], gateway?: string): Promise<Stack> {
    const network = { addresses, ...(gateway ? { gateway } : {}) };
    const stack = await Stack.create({ engine: this.engine, ports: { [port]: network }, datagrams: false });
    this.#stacks.push(stack);
    return stack;
  }

  /**
   * Fetches those files, each over a connection of its own, then knocks from the address that is denied.
   * @throws what a connection or a file fails with
   */
  async fetch(names: readonly string[]): Promise<void> {
    const client = this.#client!;
    const from = performance.now();
    const left = [...names];
    const fetched: Fetched[] = [];
    const some = async (): Promise<void> => {
      for (let name = left.shift(); name !== undefined; name = left.shift())
        fetched.push(await fetchFile(client, this.folder, name));
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, some));
    const ms = performance.now() - from;
    this.#done = { fetched, denied: { address: DENIED, answer: await knock(client) }, ms };
  }

  /** What was counted so far. */
  report(): WebReport {
    const client = this.#client && this.#done;
    const report: WebReport = {
      ...(client ? { client: { address: CLIENT, ...segments(this.#client!), ...client } } : {}),
      edge: this.#edge.counts(),
      servers: {
        ...segments(this.#servers),
        backends: this.#backends.map(({ web, ...facts }) => facts),
      },
      faults: [],
    };
    return { ...report, faults: disagreements(report) };
  }

  /** Ends all of it. Returns what was counted, when the last packets had arrived. @throws EtherloomError ERR_FRAMES_LOST */
  async close(): Promise<WebReport> {
    try {
      const until = performance.now() + SETTLE_MS;
      let report = this.report();
      while (report.faults.length > 0 && performance.now() < until) {
        await sleep(20);
        report = this.report();
      }
      for (const { web } of this.#backends) web.close();
      const { ledger, crashes } = await this.#end();
      for (const { lane, reason } of crashes) report.faults.push(`lane ${lane} died: ${reason}`);
      checkLedger(ledger);
      return report;
    } finally {
      await this.#end();
    }
  }

  async #end(): Promise<EngineReport> {
    for (const stack of this.#stacks.splice(0)) await stack.close();
    return this.engine.stop();
  }
}

/** A server at one of the backends' addresses. */
async function serve(stack: Stack, address: string, folder: string): Promise<Backend> {
  const backend: Backend = { address, connections: 0, statuses: {}, web: createServer() };
  const answered = (_method: string, _path: string, status: number): void => {
    backend.statuses[status] = (backend.statuses[status] ?? 0) + 1;
  };
  backend.web.on('request', files(folder, { answered })).on('connection', () => backend.connections++);
  await new Promise<void>((resolve, reject) => {
    backend.web.once('error', reject);
    stack.serve(backend.web, BACKEND_PORT, address, resolve);
  });
  return backend;
}

const hashOf = async (bytes: AsyncIterable<Uint8Array>): Promise<{ bytes: number; sha256: string }> => {
  const hash = createHash('sha256');
  let length = 0;
  for await (const part of bytes) {
    hash.update(part);
    length += part.length;
  }
  return { bytes: length, sha256: hash.digest('hex') };
};

async function fetchFile(client: Stack, folder: string, name: string): Promise<Fetched> {
  const expected = (await hashOf(createReadStream(join(folder, name)))).sha256;
  const agent = client.agent({ keepAlive: false });
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const at = { host: SERVICE.address, port: SERVICE.port, path: `/${encodeURIComponent(name)}` };
      const signal = AbortSignal.timeout(ANSWER_MS);
      request({ ...at, agent, localAddress: CLIENT, signal }, resolve)
        .once('error', reject)
        .end();
    });
    return { name, status: response.statusCode ?? 0, ...(await hashOf(response)), expected };
  } finally {
    agent.destroy();
  }
}

/** Knocks as who is denied. Returns the answer, yes or no; there should be none. */
async function knock(client: Stack): Promise<string | undefined> {
  const socket = client.connect({ host: SERVICE.address, port: SERVICE.port, localAddress: DENIED });
  const answer = new Promise<string>(done => {
    socket.once('connect', () => done('connected')).once('error', error => done(error.message));
  });
  const answered = await Promise.race([answer, sleep(KNOCK_MS, undefined)]);
  socket.destroy();
  return answered;
}

function segments(stack: Stack): Segments {
  const { InSegs = 0, OutSegs = 0, RetransSegs = 0 } = stack.counters();
  return { in: InSegs, out: OutSegs, again: RetransSegs };
}
