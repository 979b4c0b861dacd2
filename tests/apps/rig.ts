/** Two hosts with a lane each and a wire between them, for the applications; and bytes that a session is given in pieces. */
import { Answers, type Session } from '../../host/apps/service.js';
import { Engine } from '../../host/engine/engine.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import { closeClean, type TwoStacks } from '../support/both.js';
import { assert } from '../support/suite.js';

/** Address of the server. */
export const SERVER = '10.0.0.2';

let world: Promise<TwoStacks> | undefined;

async function build(): Promise<TwoStacks> {
  const { a, b } = modelLink({ name: 'wire', queues: 1, firstLanes: [0, 1], ringSlots: 1024 });
  const engine = await Engine.create({
    ...{ nics: [a, b], lanes: 2, warmMs: 0, frames: 8192 },
    streams: { count: 512, bytes: 64 << 20, apps: 16 },
  });
  const port = (address: string) => ({ addresses: [`${address}/24`] });
  const client = await Stack.create({ engine, ports: { 'wire.a': port('10.0.0.1') } });
  const server = await Stack.create({ engine, ports: { 'wire.b': port(SERVER) } });
  await engine.start();
  return { engine, client, server };
}

/** Two stacks of one engine, for all tests of a file. */
export const hosts = (): Promise<TwoStacks> => (world ??= build());

/** Closes them: nothing of them may be left. */
export async function closeHosts(): Promise<void> {
  const left = await hosts();
  world = undefined;
  await closeClean(left);
}

export async function until(what: string, holds: () => boolean, limitMs = 15_000): Promise<void> {
  for (const end = Date.now() + limitMs; !holds(); ) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise(next => setTimeout(next, 2));
  }
}

/** What a session answers to `input`, given at once or in pieces; takes up again what it did not take. */
export function answersTo(
  session: Session,
  input: Uint8Array,
  pieces: readonly number[] = [input.length],
): Buffer {
  const out = new Answers();
  const all: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < input.length && !session.ended; i++) {
    const piece = input.subarray(at, at + Math.max(1, pieces[i % pieces.length]));
    out.clear();
    const taken = session.take(Buffer.from(piece), piece.length, out);
    assert.ok(taken >= 0 && taken <= piece.length);
    assert.ok(taken > 0 || session.ended || out.full, 'it took nothing, for no reason');
    all.push(Buffer.from(out.view()));
    at += taken;
  }
  return Buffer.concat(all);
}
