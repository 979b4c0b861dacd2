/** Links on the way that take less than the hosts': routers say so, what was lost goes again at once, and nobody forges that. */
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { onPath, type Path, type PathOptions, tooBig } from './path.js';

const test = suite('homa: path MTU');
const ETH = 14;
const LONG = 300_000;

/** A router in the middle whose links take so many bytes; frames that it was too small for. */
function narrow(p: Path, mtu: number, say = mtu, only?: 0 | 1): Uint8Array[] {
  const lost: Uint8Array[] = [];
  p.way = (frame, from) => {
    if (frame.length - ETH <= mtu || (only !== undefined && from !== only)) return [frame];
    lost.push(frame);
    if (say) p.inject(tooBig(frame, say), from);
    return [];
  };
  return lost;
}

function answered(p: Path, family: 4 | 6, bytes: number): number {
  const slot = p.open();
  const request = pattern(bytes);
  const ms = p.call(slot, family, request);
  assert.not(slot.failed, p.hosts[0].view.error(slot.end.id));
  assert.equal(Buffer.compare(slot.answers[0].bytes, request), 0);
  return ms;
}

for (const family of [4, 6] as const)
  for (const only of [0, 1, undefined] as const)
    test(`IPv${family}: ${only === undefined ? 'both directions' : only ? 'responses' : 'requests'} over a link of 1300 bytes are whole, without a tick`, () =>
      onPath({}, p => {
        const lost = narrow(p, 1300, 1300, only);
        for (const bytes of [3000, LONG]) assert.ok(answered(p, family, bytes) < 5);
        const [a, b] = p.counters;
        assert.is((a.Resends ?? 0) + (b.Resends ?? 0), 0);
        // Told once, nobody sends a large one any more.
        const before = lost.length;
        assert.ok(before > 0);
        answered(p, family, LONG);
        assert.is(lost.length, before);
        if (only !== 1) assert.ok(a.TooBig > 0);
        if (only !== 0) assert.ok(b.TooBig > 0);
      }));

test('each of several links that take less and less is found', () =>
  onPath({}, p => {
    p.way = (frame, from) => {
      const mtu = [1400, 1200, 900].find(m => frame.length - ETH > m);
      if (mtu === undefined) return [frame];
      p.inject(tooBig(frame, mtu), from);
      return [];
    };
    assert.ok(answered(p, 4, LONG) < 5);
    assert.is(p.counters[0].TooBig, 3);
  }));

test('a larger one is tried after ten minutes, not before', () =>
  onPath({}, p => {
    const lost = narrow(p, 1000);
    answered(p, 4, LONG);
    let most = 0;
    p.way = frame => {
      most = Math.max(most, frame.length - ETH);
      return [frame];
    };
    p.run(() => false, 580_000);
    answered(p, 4, LONG);
    assert.ok(lost.length > 0 && most <= 1000, String(most));
    p.run(() => false, 30_000);
    answered(p, 4, LONG);
    assert.is(most, 1500);
  }));

test('what is smaller than paths have to take is not believed', () =>
  onPath({}, p => {
    let most = 0;
    p.way = (frame, from) => {
      if (frame.length - ETH > 552 && most < 1500) p.inject(tooBig(frame, 68), from);
      if (from === 0) most = Math.max(most, frame.length - ETH);
      return [frame];
    };
    answered(p, 4, 20_000);
    let after = 0;
    p.way = (frame, from) => {
      if (from === 0) after = Math.max(after, frame.length - ETH);
      return [frame];
    };
    answered(p, 4, 20_000);
    assert.ok(after === 552 || after === 1500, String(after));
  }));

test('a path that takes less than any has to ends a call in EMSGSIZE', () =>
  onPath({}, p => {
    narrow(p, 400);
    const slot = p.open();
    p.call(slot, 4, pattern(3000));
    assert.ok(slot.failed);
    assert.is(p.hosts[0].view.error(slot.end.id), 'EMSGSIZE');
  }));

test('what quotes no packet of a call under way, or one that fits, changes nothing', () =>
  onPath({ answer: m => m.bytes }, p => {
    const at = (frame: Uint8Array, i: number, to: number): Uint8Array => {
      const f = frame.slice();
      f[i] ^= to;
      return f;
    };
    const HOMA = ETH + 20;
    let told = 0;
    let most = 0;
    p.way = (frame, from) => {
      if (from === 0 && frame.length > 1000) {
        most = Math.max(most, frame.length - ETH);
        const forged = [
          at(frame, HOMA, 1), // ports
          at(frame, HOMA + 3, 1),
          at(frame, HOMA + 27, 0x80), // number of the RPC: its slot, and the call
          at(frame, HOMA + 23, 0x40),
          at(frame, ETH + 19, 8), // the server
          at(frame, HOMA + 4, 0x7f), // a byte that was never sent
          at(frame, HOMA + 11, 3), // no DATA
        ];
        for (const f of forged) p.inject(tooBig(f, 600), 0);
        p.inject(tooBig(frame, 1500), 0);
        told += forged.length + 1;
      }
      return [frame];
    };
    answered(p, 4, LONG);
    assert.ok(told > 1000);
    assert.is(most, 1500);
    assert.is(p.counters[0].TooBig ?? 0, 0);
  }));

for (const [what, mtu, who] of [
  ['request', [70, undefined], 'a'],
  ['response', [undefined, 70], 'b'],
] as const)
  test(`a ${what} of which no byte fits behind its headers ends the call, and does not hang`, () => {
    const options: PathOptions = { mtu };
    return onPath(options, p => {
      const slot = p.open();
      p.call(slot, 4, pattern(100));
      assert.ok(slot.failed);
      assert.is(p.hosts[0].view.error(slot.end.id), who === 'a' ? 'EMSGSIZE' : 'ECONNRESET');
    });
  });
