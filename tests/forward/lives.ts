/**
 * What tests/nic/af_xdp/soak.ts and soak.test.ts do again and again beside lives of a reflecting engine: TCP through
 * `etherloom forward` on AF_XDP, whose links go down and up, and are deleted and made again, on both sides. After each
 * blow bytes must come in time; what was under way comes through whole, and at the end every frame is there.
 */
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../support/netns.js';
import { random } from '../support/random.js';
import { Tally } from '../support/tally.js';
import { comes, nowMs, PATIENCE_MS, sleep } from '../support/waiting.js';
import { bodyHash } from './body.js';
import { Peers, SERVER_PORT } from './peers.js';
import { BACKEND, FRONT } from './rig.js';

const PORTS = '7996,7997';
const SMALL = 20_000;
const LARGE = 4_000_000;
/** Traffic between two blows, and how long a link is away, ms. */
const QUIET_MS = 500;
const OUTAGE_MS = 200;

/** Transfers from the client, without end. */
function startTransfers(from: Namespace) {
  const bodies = Object.fromEntries(
    Object.entries({ small: SMALL, large: LARGE }).map(([kind, length]) => [
      kind,
      { length, sha256: bodyHash(length) },
    ]),
  );
  const client = fileURLToPath(new URL('soak_client.mjs', import.meta.url));
  const [port] = PORTS.split(',');
  const child = from.spawn(process.execPath, client, FRONT, port, JSON.stringify(bodies));
  return new Tally(child, { whole: 0, wrong: 0, failed: 0, reasons: [] as string[], lastByte: 0 });
}

const flap = async (namespace: Namespace, link: string): Promise<void> => {
  namespace.ip('link', 'set', link, 'down');
  await sleep(OUTAGE_MS);
  namespace.ip('link', 'set', link, 'up');
};

/** Another pair with other hardware addresses takes the place of the one that has `link` at its end. */
const replace = async (namespace: Namespace, link: string, again: () => void, afterMs: number) => {
  namespace.ip('link', 'delete', link);
  await sleep(afterMs);
  again();
};

/** Resolves when the last of it is undone: from then on the time counts. */
export const BLOWS: Record<string, (peers: Peers) => Promise<void>> = {
  'the client’s link down and up': p => flap(p.client, 'c0'),
  'the server’s link down and up': p => flap(p.server, 's0'),
  'the forwarder’s link to the client down and up': p => flap(p.middle, 'in'),
  'the forwarder’s link to the server down and up': p => flap(p.middle, 'out'),
  'the client’s pair deleted and made again': p => replace(p.client, 'c0', () => p.wireClient(), OUTAGE_MS),
  'the server’s pair deleted and made again': p => replace(p.server, 's0', () => p.wireServer(), OUTAGE_MS),
  'the server’s pair deleted and made again at once': p => replace(p.middle, 'out', () => p.wireServer(), 0),
};

export interface ForwarderLife {
  blows: { name: string; resumedMs: number | undefined }[];
  /** Transfers that came through whole. */
  whole: number;
  /** What was not as it must be. */
  faults: string[];
}

/** One life, with every blow once; each may keep bytes away for so long after it is over, ms. */
export async function forwarderLife(seed: number, resumesMs: number): Promise<ForwarderLife> {
  const next = random(seed);
  const life: ForwarderLife = { blows: [], whole: 0, faults: [] };
  const peers = new Peers(1, 100);
  try {
    await peers.serve();
    const chain = await peers.forward(
      ...['--ports', PORTS, '--backend', `${BACKEND}:${SERVER_PORT}`, '--protocol', 'tcp'],
    );
    const transfers = startTransfers(peers.client);
    if (!(await comes(() => transfers.total.whole > 0))) life.faults.push('no transfer at all');
    const names = Object.keys(BLOWS);
    for (let i = names.length - 1; i >= 0; i--) {
      const [name] = names.splice(next() % names.length, 1);
      await sleep(QUIET_MS);
      await BLOWS[name](peers);
      const over = nowMs();
      const resumed = await comes(() => transfers.total.lastByte >= over);
      const resumedMs = resumed ? transfers.total.lastByte - over : undefined;
      life.blows.push({ name, resumedMs });
      if (resumedMs === undefined) life.faults.push(`${name}: no byte for ${PATIENCE_MS} ms`);
      else if (resumedMs > resumesMs)
        life.faults.push(`${name}: first byte after ${resumedMs.toFixed(0)} ms`);
    }
    // What a blow has interrupted ends, too.
    const before = transfers.total.whole;
    await sleep(QUIET_MS);
    await comes(() => transfers.total.whole > before + 10);
    await transfers.ended();
    const { whole, wrong, failed, reasons } = transfers.total;
    life.whole = whole;
    if (wrong) life.faults.push(`${wrong} transfers with other bytes`);
    if (failed) life.faults.push(`${failed} transfers not ended: ${[...new Set(reasons)].join(', ')}`);
    // It fails when a frame is in no known place, or in two.
    const said = await chain.stop();
    const last = said.trim().split('\n').at(-1)!;
    const stopped = last.startsWith('{')
      ? (JSON.parse(last) as { event: string; crashes: number })
      : undefined;
    if (stopped?.event !== 'stopped' || stopped.crashes) life.faults.push(`the forwarder: ${last}`);
  } finally {
    peers.close();
  }
  return life;
}
