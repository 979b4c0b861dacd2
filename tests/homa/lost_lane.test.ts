/** A lane that is given up: its slots are over, clients of its channels hear it, the others go on. */
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { ADDRESS, inWorld, PORT } from './world.js';

const test = suite('homa: lanes that are given up');

test('calls of a channel whose lane is given up end in ECONNRESET, and are not made again', () =>
  inWorld({ answer: () => undefined }, w => {
    const [slot] = w.open();
    slot.call({ address: ADDRESS[4][1], port: PORT }, pattern(40));
    assert.ok(w.run(() => w.server.requests.length === 1, 100));
    // As the engine says it to transports: the lane that has the channel is no more.
    const { channels, past } = tables(w.b.messages);
    assert.is([...channels].length, 1);
    w.b.messages.laneLost(0);
    assert.is([...channels].length, 0);
    assert.is([...past].length, 1);
    assert.ok(w.run(() => slot.failed, 100));
    assert.is(w.a.view.error(slot.end.id), 'ECONNRESET');
    assert.is(w.server.requests.length, 1);
    const [{ id }] = w.server.requests;
    assert.is(w.b.view.error(id), 'ENETDOWN');
  }));

function tables(of: unknown): { channels: Iterable<unknown>; past: Iterable<unknown> } {
  const { maps } = (of as { collection: { maps: Record<string, Iterable<unknown>> } }).collection;
  return { channels: maps.homa_channels, past: maps.homa_past };
}
