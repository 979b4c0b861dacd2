import { parsePrefix, UpdateFlag } from '../../../host/bpf/maps/index.js';
import { assert, suite } from '../../support/suite.js';
import { bench, hex, make, outcomeOf, random } from './support.js';

const test = suite('maps: lpm_trie');
const NO_PREALLOC = { flags: 1 };

test('the longest prefix wins, and none is none', () => {
  const m = make(bench(), 'lpm_trie', 8, 4, 10, NO_PREALLOC);
  const ask = (address: string) => m.getBytes(address)?.[0];
  m.set('10.0.0.0/8', 8).set('10.1.0.0/16', 16).set('10.1.2.0/24', 24).set('10.1.2.3/32', 32);
  assert.equal(['10.1.2.3', '10.1.2.4', '10.1.3.1', '10.200.0.1', '11.0.0.1'].map(ask), [
    32,
    24,
    16,
    8,
    undefined,
  ]);
  m.set('0.0.0.0/0', 1);
  assert.is(ask('11.0.0.1'), 1);
  assert.ok(m.delete('10.1.2.0/24'));
  assert.not.ok(m.delete('10.1.2.0/24'));
  assert.is(ask('10.1.2.4'), 16);
  assert.is(ask('10.1.2.3/20'), 16, 'a shorter key matches no longer prefix');
  assert.is(ask('10.1.2.3/15'), 8);
});

test('update flags and limits fail as in the kernel', () => {
  const m = make(bench(), 'lpm_trie', 8, 4, 2, NO_PREALLOC);
  assert.is(
    outcomeOf(() => m.set('1.0.0.0/8', 1, UpdateFlag.EXIST)),
    'ENOENT',
  );
  assert.is(
    outcomeOf(() => m.set('1.0.0.0/8', 1, UpdateFlag.NOEXIST)),
    'ok',
  );
  assert.is(
    outcomeOf(() => m.set('1.0.0.0/8', 1, UpdateFlag.NOEXIST)),
    'EEXIST',
  );
  assert.is(
    outcomeOf(() => m.set('2.0.0.0/8', 1)),
    'ok',
  );
  assert.is(
    outcomeOf(() => m.set('3.0.0.0/8', 1)),
    'ENOSPC',
  );
  assert.is(
    outcomeOf(() => m.set('2.0.0.0/8', 7)),
    'ok',
    'a full trie still replaces',
  );
  assert.is(
    outcomeOf(() => m.set({ prefixlen: 33, data: new Uint8Array(4) }, 1)),
    'EINVAL',
  );
  assert.is(
    outcomeOf(() => m.set('2.0.0.0/8', 1, 4)),
    'EINVAL',
  );
});

test('get_next_key goes from longer to shorter, then by bits', () => {
  const m = make(bench(), 'lpm_trie', 8, 4, 10, NO_PREALLOC);
  for (const p of ['192.168.0.0/16', '192.168.0.0/24', '192.168.128.0/24', '192.168.1.0/24']) m.set(p, 0);
  const text = (k: unknown) => {
    const { prefixlen, data } = k as { prefixlen: number; data: Uint8Array };
    return `${data.join('.')}/${prefixlen}`;
  };
  assert.equal([...m.keys()].map(text), [
    '192.168.0.0/24',
    '192.168.1.0/24',
    '192.168.128.0/24',
    '192.168.0.0/16',
  ]);
});

test('prefixes are read as text', () => {
  assert.equal(parsePrefix('2001:db8::/32', 16).data.slice(0, 5), Uint8Array.of(0x20, 1, 0xd, 0xb8, 0));
  assert.equal(parsePrefix('::ffff:10.1.2.3', 16).data.slice(10), Uint8Array.of(255, 255, 10, 1, 2, 3));
  assert.is(parsePrefix('10.0.0.1', 4).prefixlen, 32);
  for (const bad of ['10.0.0.0/33', '10.0.0/8', '1.2.3.4/8/9', '::/0', '1.2.3.4/x'])
    assert.is(
      outcomeOf(() => parsePrefix(bad, 4)),
      'EINVAL',
      bad,
    );
});

/** The plain truth: one Map per prefix length. */
class Naive {
  readonly #byLength = new Map<number, Map<string, Uint8Array>>();
  count = 0;
  static bits(data: Uint8Array, n: number): string {
    const b = data.slice(0, Math.ceil(n / 8));
    if (n % 8) b[b.length - 1] &= 0xff << (8 - (n % 8));
    return hex(b);
  }
  set(n: number, data: Uint8Array, value: Uint8Array): void {
    const m = this.#byLength.get(n) ?? new Map();
    this.#byLength.set(n, m);
    const k = Naive.bits(data, n);
    if (!m.has(k)) this.count++;
    m.set(k, value);
  }
  has(n: number, data: Uint8Array): boolean {
    return !!this.#byLength.get(n)?.has(Naive.bits(data, n));
  }
  delete(n: number, data: Uint8Array): boolean {
    const was = !!this.#byLength.get(n)?.delete(Naive.bits(data, n));
    if (was) this.count--;
    return was;
  }
  lookup(limit: number, data: Uint8Array): Uint8Array | undefined {
    for (let n = limit; n >= 0; n--) {
      const v = this.#byLength.get(n)?.get(Naive.bits(data, n));
      if (v) return v;
    }
    return undefined;
  }
}

/** Data that shares prefixes: few distinct bytes at the front. */
function clustered(r: ReturnType<typeof random>, bytes: number, spreadOver: number): Uint8Array {
  const d = r.bytes(bytes);
  for (let i = 0; i < bytes; i++) if (r.below(3)) d[i] = [0, 255, 10, 0x80][r.below(spreadOver)];
  return d;
}

for (const [name, bytes, entries, ops] of [
  ['v4', 4, 10_000, 30_000],
  ['v6', 16, 10_000, 20_000],
  ['v4 in a small table', 4, 60, 20_000],
  ['v6 in a small table', 16, 300, 20_000],
  ['one byte', 1, 100, 20_000],
  ['seven bytes', 7, 500, 10_000],
  ['40 bytes', 40, 500, 10_000],
] as const)
  test(`${name}: ${ops} random operations agree with a naive table`, () => {
    const m = make(bench(), 'lpm_trie', 4 + bytes, 8, entries, NO_PREALLOC);
    const naive = new Naive();
    const r = random(bytes + entries);
    const known: { prefixlen: number; data: Uint8Array }[] = [];
    const pick = () =>
      known.length && r.below(2)
        ? known[r.below(known.length)]
        : { prefixlen: r.below(bytes * 8 + 1), data: clustered(r, bytes, 4) };
    for (let i = 0; i < ops; i++) {
      const k = pick();
      const deleting = i > ops / 2 ? 4 : 1;
      if (r.below(10) < deleting) {
        assert.is(m.delete(k), naive.delete(k.prefixlen, k.data));
      } else {
        const full = naive.count >= entries && !naive.has(k.prefixlen, k.data);
        const value = r.bytes(8);
        assert.is(
          outcomeOf(() => m.set(k, value)),
          full ? 'ENOSPC' : 'ok',
        );
        if (!full) {
          naive.set(k.prefixlen, k.data, value);
          known.push(k);
        }
      }
      const data = r.below(2) && known.length ? known[r.below(known.length)].data : clustered(r, bytes, 4);
      const limit = r.below(4) ? bytes * 8 : r.below(bytes * 8 + 1);
      assert.equal(m.getBytes({ prefixlen: limit, data }), naive.lookup(limit, data));
      if (i % 1000 === 0) assert.is(m.size, naive.count);
    }
    const keys = [...m.keys()] as { prefixlen: number; data: Uint8Array }[];
    assert.is(keys.length, naive.count);
    for (const k of keys) assert.ok(m.delete(k));
    assert.is(m.size, 0);
    assert.is(m.getBytes({ prefixlen: bytes * 8, data: r.bytes(bytes) }), undefined);
  });
