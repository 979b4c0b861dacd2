/**
 * etherloom cp: HomaModule's cp_node on any NIC. The line says `client` or `server`, or, with --commands, lines of standard
 * input do. On the shared-memory link the server is the far host, in this process.
 */

import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { EtherloomError } from '../../errors.js';
import { obeyLine } from '../cp_commands.js';
import { CpLines } from '../cp_lines.js';
import { CpNode, lengthsOf, type NodeOptions } from '../cp_node.js';
import { openHosts } from '../hosts.js';
import { ending } from '../live.js';
import { EXIT, tryOutput } from '../output.js';

export interface CpOptions extends NodeOptions {
  nic: string;
  address?: string[];
  gateway?: string[];
  threads: number;
  spin: number;
  buffer?: number;
  interval: number;
  json?: boolean;
  duration?: number;
  dump?: string;
  commands?: boolean;
}

export type CpRole = 'client' | 'server';

/** Connections that a server has room for. */
const SERVED = 1024;
/** How long answers are waited for at the end, ms. */
const LAST_MS = 10_000;

/** @param role undefined: both, or what commands say */
export async function cp(role: CpRole | undefined, options: CpOptions): Promise<number> {
  const model = options.nic.startsWith('model');
  lengthsOf(options.workload);
  if (model && options.serverNodes?.length)
    throw new EtherloomError('ERR_USAGE_OPTION', `--server-nodes with --nic ${options.nic}`, {
      expected: 'none: the server is in this process, at the far end of the link',
    });
  const waits = role === undefined && options.commands === true;
  const calls = !waits && (role !== 'server' || model);
  if (calls && !model && !options.serverNodes?.length)
    throw new EtherloomError('ERR_USAGE_MISSING', 'no server', { expected: '--server-nodes ADDRESS,…' });
  if (options.dump !== undefined) tryOutput(options.dump);
  const end = ending();
  const hosts = await openHosts(
    { ...options, connections: Math.max(SERVED, options.ports + 64), homa: options.protocol === 'homa' },
    role === 'client' ? [] : [options.firstPort],
  );
  const lines = new CpLines(options.json === true);
  const node = new CpNode(hosts, options, lines, calls);
  let input: ReturnType<typeof createInterface> | undefined;
  try {
    void end.asked.then(() => node.end());
    if (!waits && (role !== 'client' || model)) node.serve();
    if (calls) node.call(options);
    await node.meet();
    lines.started(role ?? (waits ? 'by commands' : 'both'), options.protocol, hosts.how);
    if (options.commands) {
      input = createInterface({ input: process.stdin });
      input.on('line', line => obeyLine(node, line));
      input.on('close', () => node.end());
    }
    const from = performance.now();
    const last = from + (options.duration ?? Number.POSITIVE_INFINITY) * 1000;
    let before = from;
    while (performance.now() < last) {
      const next = Math.min(before + options.interval * 1000, last);
      await node.run(next);
      const now = performance.now();
      lines.interval((now - before) / 1000, node.look());
      before = now;
      if (now < next) break;
    }
    node.stop();
    const until = performance.now() + LAST_MS;
    while (node.outstanding > 0 && performance.now() < until)
      await node.run(performance.now() + 1).then(() => new Promise(next => setImmediate(next)));
    lines.rest(node.look());
    if (options.dump !== undefined) node.dump(options.dump);
    const left = node.outstanding;
    lines.stopped((performance.now() - from) / 1000, node.serves, left);
    return lines.errors.size > 0 || left > 0 || hosts.engine.crashes.length > 0 ? EXIT.FAILED : EXIT.DONE;
  } finally {
    input?.close();
    node.close();
    await hosts.close();
    end.release();
  }
}
