/**
 * A random network in virtual time: hosts that all call one another over lines that lose, double, overtake and damage, with
 * settings that are random, too. Every call must end, none is made twice, every answer is what it should be.
 */
import { Rng } from '../../support/fuzz.js';
import { pattern, sha } from '../../support/pattern.js';
import { Hosts, type Station } from '../hosts.js';
import { ClientSlot, type Message } from '../slots.js';
import { PORT } from '../world.js';

/** Of virtual time: a call fails after 100 ms of silence, one that waits for a grant after 1000; calls of a slot follow one another. */
const LIMIT_MS = 60_000;
const MOST = 200_000;
const HEAD = 12;

export interface Soaked {
  calls: number;
  answered: number;
  /** Slots, and what ended them. */
  failed: string[];
  virtualMs: number;
}

interface Call {
  bytes: Uint8Array;
  sum: string;
}

/** Few bytes mostly, sometimes many. */
const lengthOf = (rng: Rng): number =>
  rng.chance(0.6) ? rng.below(2000) : rng.chance(0.6) ? rng.below(40_000) : rng.below(MOST);

/** The first bytes say which request it is, and how long the answer is to be. */
function request(rng: Rng, n: number): Call {
  const bytes = pattern(Math.max(HEAD, lengthOf(rng)), n + 1);
  const dv = new DataView(bytes.buffer);
  dv.setUint32(0, n);
  dv.setUint32(4, lengthOf(rng));
  return { bytes, sum: sha(bytes) };
}

const answerTo = ({ bytes }: { bytes: Uint8Array }): Uint8Array => {
  const dv = new DataView(bytes.buffer, bytes.byteOffset);
  return bytes.length < HEAD ? new Uint8Array() : pattern(dv.getUint32(4), ~dv.getUint32(0));
};

/** @throws Error that says what went wrong, and by which seed. */
export async function soak(seed: number): Promise<Soaked> {
  const rng = new Rng(seed, 0x50a4);
  const one = <T>(...of: T[]): T => rng.pick(of);
  const line = {
    rate: one(1e9, 10e9, 25e9),
    delayNs: one(500, 10_000, 200_000),
    jitterNs: one(0, 0, 20_000),
    loss: one(0, 0.01, 0.03, 0.05),
    duplicate: one(0, 0.02, 0.1),
    reorder: one(0, 0.05, 0.2),
    corrupt: one(0, 0, 0.01),
  };
  const unscheduled = one(1, 1500, 10_000, 40_000);
  const settings = {
    ...{ unscheduled, linkMbps: one(0, line.rate / 1e6), overcommit: one(1, 2, 8) },
    ...{ maxIncoming: one(3000, 20_000, 80_000, 400_000), fifoGrant: one(0, 50, 500) },
  };
  const hosts = 2 + rng.below(4);
  const streamBytes = one(8, 64) << 20;
  const how = JSON.stringify({ seed, hosts, streamBytes, line, settings });
  const h = await Hosts.create({
    ...{ hostsPerRack: hosts, seed, up: line, homa: settings, streams: 512, streamBytes },
    down: { ...line, priorities: 8 },
    answer: (m: Message) => answerTo(m),
  });
  const begun = h.engine.now();
  const made: { slot: ClientSlot; calls: Call[]; from: Station }[] = [];
  let n = 0;
  for (const [i, from] of h.stations.entries())
    for (const id of open(h, from, 1 + rng.below(8))) {
      const slot = new ClientSlot(from.app.end(id));
      from.slots.push(slot);
      const calls = Array.from({ length: 1 + rng.below(8) }, () => request(rng, n++));
      for (const { bytes } of calls) {
        const to = h.stations[(i + 1 + rng.below(hosts - 1)) % hosts].host.address;
        slot.call({ address: to, port: PORT }, bytes);
      }
      made.push({ slot, calls, from });
    }
  const over = h.run(() => made.every(({ slot }) => slot.open === 0 || slot.failed), LIMIT_MS);
  const virtualMs = Number(h.engine.now() - begun) / 1e6;
  const fail = (what: string): never => {
    throw new Error(`${what}: ${how} ${JSON.stringify(h.counters)}`);
  };
  if (!over) {
    const open = made.filter(({ slot }) => slot.open > 0 && !slot.failed);
    const at = open.map(({ slot, from }) => [
      from.host.name,
      slot.end.id,
      slot.open,
      from.view.info(slot.end.id),
    ]);
    const servers = h.stations.map(s => [
      s.host.name,
      ...[...s.server.slots.keys()].map(id => [id, s.view.info(id)]),
    ]);
    fail(`${open.length} slots have calls that never end: ${JSON.stringify([at, servers])}`);
  }
  const seen = h.stations.flatMap(s => s.server.requests.map(r => sha(r.message.bytes)));
  if (new Set(seen).size !== seen.length) fail('a call was made twice');
  const known = new Set(made.flatMap(m => m.calls.map(c => c.sum)));
  if (seen.some(s => !known.has(s))) fail('a request came that nobody sent');
  for (const { slot, calls } of made)
    for (const [k, m] of slot.answers.entries())
      if (m.call !== k || sha(m.bytes) !== sha(answerTo(calls[k])))
        fail(`call ${k} of slot ${slot.end.id} has another’s answer`);
  const failed = made.filter(m => m.slot.failed).map(m => m.from.view.error(m.slot.end.id) ?? '');
  const answered = made.reduce((sum, m) => sum + m.slot.answers.length, 0);
  await h.close();
  return { calls: n, answered, failed, virtualMs };
}

function open(h: Hosts, { messages, client, host }: Station, count: number): number[] {
  return messages.openSlots(client, count, { ifindex: h.engine.port(host.name).ifindex });
}
