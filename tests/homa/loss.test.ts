/** Wires that lose, change order, double and damage: every call once at the server, its answer as it was, or an error. */
import type { LinkSettings } from '../../host/nic/index.js';
import { pattern, sha } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { ADDRESS, backwards, inWorld, PORT } from './world.js';

const test = suite('homa: loss');

const WIRES: [name: string, wire: LinkSettings][] = [
  ['0.1 % loss', { loss: 0.001 }],
  ['1 % loss', { loss: 0.01 }],
  ['5 % loss', { loss: 0.05 }],
  ['reordering', { reorder: 0.2, reorderNs: 300_000 }],
  ['duplication', { duplicate: 0.1 }],
  ['corruption', { corrupt: 0.02 }],
  ['all of it', { loss: 0.03, reorder: 0.1, reorderNs: 300_000, duplicate: 0.05, corrupt: 0.02 }],
] as [string, LinkSettings][];

/** Few bytes, or up to 300,000. */
const sizeOf = (i: number): number =>
  i % 9 === 0 ? (i * 7919) % 300_000 : i % 3 === 0 ? (i * 31) % 20_000 : i % 400;

for (const [name, wire] of WIRES)
  for (const family of [4, 6] as const)
    test(`${name}, IPv${family}: 160 calls on 8 slots are made exactly once each`, () =>
      inWorld({ delayNs: 10_000, rate: 10e9, ...wire, seed: 3 + family }, w => {
        const slots = w.open(8);
        const sent = new Map<string, number>();
        for (let i = 0; i < 160; i++) {
          const bytes = pattern(sizeOf(i) + 8, i);
          // The first bytes tell one from another.
          new DataView(bytes.buffer).setUint32(0, i);
          sent.set(sha(bytes), i);
          slots[i % 8].call({ address: ADDRESS[family][1], port: PORT }, bytes);
        }
        const over = w.run(() => slots.every(s => s.open === 0 || s.failed), 60_000);
        const state = (): string =>
          JSON.stringify([
            w.counters,
            slots.map(s => [s.open, w.a.view.info(s.end.id), w.a.view.error(s.end.id)]),
          ]);
        assert.ok(over, state());
        assert.not(
          slots.some(s => s.failed),
          state(),
        );
        const seen = w.server.requests.map(({ message }) => sent.get(sha(message.bytes)));
        assert.is(seen.length, 160);
        assert.is(new Set(seen).size, 160);
        assert.not(seen.includes(undefined));
        for (const [s, slot] of slots.entries())
          for (const [k, m] of slot.answers.entries()) {
            assert.is(m.call, k);
            const i = k * 8 + s;
            const bytes = pattern(sizeOf(i) + 8, i);
            new DataView(bytes.buffer).setUint32(0, i);
            assert.is(sha(m.bytes), sha(backwards({ bytes })));
          }
      }));
