/**
 * Maps of the corpus in one word: NAME=TYPE/KEY/VALUE/ENTRIES, sizes in bytes, then
 *   /rdonly_prog /wronly_prog /no_prealloc   flags
 *   /frozen:HEX                              contents that nobody may change
 *   VALUE lock+N                             a struct bpf_spin_lock and N more bytes, with BTF
 *   VALUE timer+N, timers+N, N+timer         a struct bpf_timer (two) and N more bytes behind or before it, with BTF
 *   <TYPE/KEY/VALUE/ENTRIES>                 template of inner maps
 */
import type { Btf } from '../../../host/bpf/btf/btf.js';
import type { MapSpec, MapTypeName } from '../../../host/bpf/spec.js';

const FLAGS: Record<string, number> = { no_prealloc: 1, rdonly_prog: 128, wronly_prog: 256 };
const LOCK_BYTES = 4;

/** struct value { struct bpf_spin_lock lock; unsigned int rest[N / 4]; } with a key of unsigned int. */
function lockedValue(restBytes: number): { btf: NonNullable<MapSpec['btf']>; bytes: number } {
  const member = (name: string, type: number, bitOffset: number) => ({ name, type, bitOffset, bitSize: 0 });
  const types: Btf = {
    types: [
      { kind: 'void' },
      {
        kind: 'int',
        name: 'unsigned int',
        size: 4,
        bits: 32,
        bitOffset: 0,
        signed: false,
        char: false,
        bool: false,
      },
      { kind: 'struct', name: 'bpf_spin_lock', size: LOCK_BYTES, members: [member('val', 1, 0)] },
      { kind: 'array', type: 1, indexType: 1, count: restBytes / 4 },
      {
        kind: 'struct',
        name: 'value',
        size: LOCK_BYTES + restBytes,
        members: [member('lock', 2, 0), member('rest', 3, 8 * LOCK_BYTES)],
      },
    ],
  };
  return { btf: { types, keyId: 1, valueId: 4 }, bytes: LOCK_BYTES + restBytes };
}

const TIMER_BYTES = 16;

/** struct value { unsigned int before[…]; struct bpf_timer timer[…]; unsigned int rest[…]; }, empty parts left out. */
function timedValue(
  before: number,
  timers: number,
  rest: number,
): { btf: NonNullable<MapSpec['btf']>; bytes: number } {
  const member = (name: string, type: number, at: number) => ({ name, type, bitOffset: at * 8, bitSize: 0 });
  const int = (name: string, size: number): Btf['types'][number] => ({
    kind: 'int',
    name,
    size,
    bits: size * 8,
    bitOffset: 0,
    signed: false,
    char: false,
    bool: false,
  });
  const words = (bytes: number): Btf['types'][number] => ({
    kind: 'array',
    type: 1,
    indexType: 1,
    count: bytes / 4,
  });
  const end = before + timers * TIMER_BYTES;
  const members = [member('timer', 4, before)];
  if (before) members.unshift(member('before', 5, 0));
  if (timers > 1) members.push(member('second', 4, before + TIMER_BYTES));
  if (rest) members.push(member('rest', 6, end));
  const types: Btf = {
    types: [
      { kind: 'void' },
      int('unsigned int', 4),
      int('unsigned long long', 8),
      { kind: 'array', type: 2, indexType: 1, count: 2 },
      { kind: 'struct', name: 'bpf_timer', size: TIMER_BYTES, members: [member('__opaque', 3, 0)] },
      words(before),
      words(rest),
      { kind: 'struct', name: 'value', size: end + rest, members },
    ],
  };
  return { btf: { types, keyId: 1, valueId: 7 }, bytes: end + rest };
}

/** A value with special members, by its word. */
function specialValue(word: string): { btf: NonNullable<MapSpec['btf']>; bytes: number } | undefined {
  const [, before, what, rest] = /^(?:(\d+)\+)?(lock|timers?)(?:\+(\d+))?$/.exec(word) ?? [];
  if (!what) return undefined;
  if (what === 'lock') return lockedValue(Number(rest ?? 0));
  return timedValue(Number(before ?? 0), what === 'timer' ? 1 : 2, Number(rest ?? 0));
}

function mapOf(name: string, word: string): MapSpec {
  const inner = /<(.+)>$/.exec(word)?.[1];
  const [type, key, value, entries, ...rest] = word.replace(/<.+>$/, '').split('/');
  const special = specialValue(value);
  const frozen = rest.find(r => r.startsWith('frozen:'))?.slice(7);
  return {
    name,
    type: type as MapTypeName,
    keySize: Number(key),
    valueSize: special?.bytes ?? Number(value),
    maxEntries: Number(entries),
    flags: rest.reduce((sum, flag) => sum | (FLAGS[flag] ?? 0), 0),
    ...(special && { btf: special.btf }),
    ...(frozen !== undefined && { contents: new Uint8Array(Buffer.from(frozen, 'hex')), frozen: true }),
    ...(inner && { inner: mapOf(`${name}_inner`, inner) }),
  };
}

/** Maps of one program, numbered from 1 in order. */
export function mapsOf(words: readonly string[]): Record<number, MapSpec> {
  return Object.fromEntries(
    words.map((word, i) => {
      const at = word.indexOf('=');
      return [i + 1, mapOf(word.slice(0, at), word.slice(at + 1))];
    }),
  );
}
