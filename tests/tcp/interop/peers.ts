/** The kernel's programs as the other end: what they are started with, and what they say they received. */
import { fileURLToPath } from 'node:url';
import type { Ran } from '../../support/netns.js';
import type { Wire } from './wire.js';

const NODE_PEER = fileURLToPath(new URL('node_peer.mjs', import.meta.url));
export type Role = 'client' | 'server';
export type PeerName = 'socat' | 'nc' | 'node';

export interface PeerTask {
  role: Role;
  port: number;
  family?: 4 | 6;
  /** What it sends; none: nothing. */
  file?: string;
  /** Node only: see node_peer.mjs. */
  ends?: 'sent' | 'received' | 'reset' | 'close';
  after?: number;
  pauseMs?: number;
}

/** What a program received. */
export interface PeerResult {
  sha: string;
  /** Node only. */
  received?: number;
  ended?: boolean;
  error?: string;
}

/** How long a program waits for the other direction after the first has ended, s. */
const LINGER_S = 600;

type Command = (wire: Wire, t: PeerTask) => string;

const COMMANDS: Record<Exclude<PeerName, 'node'>, Command> = {
  socat: (wire, t) => {
    const v6 = t.family === 6;
    const address =
      t.role === 'server'
        ? `TCP${v6 ? 6 : 4}-LISTEN:${t.port},reuseaddr`
        : `TCP${v6 ? `6:[${wire.address(6)}]` : `4:${wire.address()}`}:${t.port}`;
    return `socat -b 65536 -t ${LINGER_S} - ${address}`;
  },
  nc: (wire, t) => {
    const family = `-${t.family ?? 4}`;
    return t.role === 'server'
      ? `nc ${family} -N -l ${t.port}`
      : `nc ${family} -N ${wire.address(t.family)} ${t.port}`;
  },
};

/** Starts the program; resolves when it has ended. A server is listening when `listening` has resolved. */
export async function runPeer(name: PeerName, wire: Wire, t: PeerTask): Promise<PeerResult> {
  if (name === 'node') {
    const host = t.role === 'client' ? wire.address(t.family) : t.family === 6 ? '::' : '0.0.0.0';
    const r = await wire.far.run(process.execPath, NODE_PEER, JSON.stringify({ ...t, host }));
    return JSON.parse(said(name, r)) as PeerResult;
  }
  const command = COMMANDS[name](wire, t);
  const r = await wire.far.run(
    'bash',
    '-o',
    'pipefail',
    '-c',
    `${command} < ${t.file ?? '/dev/null'} | sha256sum`,
  );
  return { sha: said(name, r).split(' ')[0] };
}

function said(name: string, r: Ran): string {
  if (r.code !== 0 || !r.out) throw new Error(`${name} ended with ${r.code}: ${r.err}${r.out}`);
  return r.out.trim();
}

/** Resolves when a program of the far end listens on the port. */
export async function listening(wire: Wire, port: number): Promise<void> {
  const wait = `for i in $(seq 500); do ss -Hltn "sport = :${port}" | grep -q . && exit 0; sleep 0.02; done; exit 1`;
  const { code } = await wire.far.run('sh', '-c', wait);
  if (code !== 0) throw new Error(`nobody listens on port ${port}`);
}
