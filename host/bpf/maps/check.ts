/**
 * What the kernel's map_create refuses (kernel/bpf/syscall.c and each type's map_alloc_check), refused here
 * with the same errno and a sentence on what would have been accepted. Creation asks here, and so does the verifier:
 * no program is verified against a map that cannot be made.
 */
import { EtherloomError } from '../../errors.js';
import { valueRecord } from '../objects/fields.js';
import type { MapSpec, MapTypeName } from '../spec.js';
import { opsTypes } from '../struct_ops.js';
import { specialFields } from '../verify/maps.js';
import { type ErrnoName, MapError } from './errors.js';
import { MapFlag as F } from './flags.js';

const ACCESS = F.RDONLY | F.WRONLY | F.RDONLY_PROG | F.WRONLY_PROG;
const HTAB = F.NO_PREALLOC | F.NO_COMMON_LRU | F.NUMA_NODE | ACCESS | F.ZERO_SEED;
const ARRAY = F.NUMA_NODE | F.MMAPABLE | ACCESS | F.PRESERVE_ELEMS | F.INNER_MAP;

/** Creation flags that each type takes. */
const FLAGS: Partial<Record<MapTypeName, number>> = {
  array: F.NUMA_NODE | F.MMAPABLE | ACCESS | F.INNER_MAP,
  percpu_array: ACCESS,
  prog_array: F.NUMA_NODE | F.RDONLY | F.WRONLY,
  perf_event_array: (ARRAY & ~(F.MMAPABLE | F.INNER_MAP | F.RDONLY_PROG | F.WRONLY_PROG)) | F.PRESERVE_ELEMS,
  array_of_maps: F.NUMA_NODE | F.RDONLY | F.WRONLY,
  hash: HTAB & ~F.NO_COMMON_LRU,
  hash_of_maps: HTAB & ~F.NO_COMMON_LRU,
  percpu_hash: HTAB & ~(F.NO_COMMON_LRU | F.NUMA_NODE),
  lru_hash: HTAB,
  lru_percpu_hash: HTAB & ~F.NUMA_NODE,
  lpm_trie: F.NO_PREALLOC | F.NUMA_NODE | ACCESS,
  queue: F.NUMA_NODE | ACCESS,
  stack: F.NUMA_NODE | ACCESS,
  ringbuf: F.NUMA_NODE,
  bloom_filter: F.NUMA_NODE | F.ZERO_SEED | ACCESS,
  devmap: F.NUMA_NODE | F.RDONLY | F.WRONLY,
  devmap_hash: F.NUMA_NODE | F.RDONLY | F.WRONLY,
  cpumap: F.NUMA_NODE,
  xskmap: F.NUMA_NODE | F.RDONLY | F.WRONLY,
  pkt_queue: F.NUMA_NODE,
  struct_ops: F.LINK,
};

/** KMALLOC_MAX_SIZE and PCPU_MIN_UNIT_SIZE of the kernel, bytes. */
const KMALLOC_MAX = 4 << 20;
const PERCPU_VALUE_MAX = 32 << 10;
/** sizeof(struct htab_elem). */
const HTAB_ELEM = 48;
/** Slots of a bucket: each is a frame that is nowhere else. */
const SLOTS_MAX = 1 << 21;
/** CONFIG_NR_CPUS of common kernels. */
const CPUS_MAX = 8192;

/** Types that map-in-map may hold: those with map_meta_equal. */
const INNER_TYPES: ReadonlySet<MapTypeName> = new Set([
  'array',
  'percpu_array',
  'hash',
  'percpu_hash',
  'lru_hash',
  'lru_percpu_hash',
  'lpm_trie',
  'queue',
  'stack',
  'ringbuf',
  'bloom_filter',
  'devmap',
  'devmap_hash',
  'cpumap',
  'xskmap',
  'pkt_queue',
]);

export const isPerCpu = (t: MapTypeName): boolean =>
  t === 'percpu_array' || t === 'percpu_hash' || t === 'lru_percpu_hash';
export const isHashTable = (t: MapTypeName): boolean =>
  t === 'hash' ||
  t === 'percpu_hash' ||
  t === 'lru_hash' ||
  t === 'lru_percpu_hash' ||
  t === 'hash_of_maps' ||
  t === 'devmap_hash';

const powerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0;
const u32 = (n: number): boolean => Number.isInteger(n) && n >= 0 && n <= 0xffffffff;

/** Refuses what no map can be made of. @throws MapError with the errno of the kernel's map_create. */
export function checkSpec(spec: MapSpec): void {
  const { type, keySize, valueSize, maxEntries, flags } = spec;
  const refuse = (when: boolean, errno: ErrnoName, what: string, expected: string): void => {
    if (when) throw new MapError(errno, `map "${spec.name}" (${type}): ${what}`, { expected });
  };
  const allowed = FLAGS[type];
  if (allowed === undefined)
    throw new MapError('EINVAL', `map "${spec.name}": type ${type} is not supported`, {
      expected: `one of ${Object.keys(FLAGS).join(', ')}`,
    });
  for (const [what, n] of Object.entries({ keySize, valueSize, maxEntries, flags }))
    refuse(!u32(n), 'EINVAL', `${what} ${n}`, 'an unsigned 32-bit number');
  checkExtra(spec, refuse);
  if ((type === 'lru_hash' || type === 'lru_percpu_hash') && flags & F.NO_PREALLOC && !(flags & ~HTAB))
    refuse(true, 'ENOTSUPP', 'BPF_F_NO_PREALLOC', 'a preallocated LRU map');
  refuse(
    (flags & ~allowed) !== 0,
    'EINVAL',
    `flags 0x${flags.toString(16)}`,
    `only 0x${allowed.toString(16)}`,
  );
  const both = (a: number, b: number): boolean => (flags & a) !== 0 && (flags & b) !== 0;
  refuse(
    both(F.RDONLY, F.WRONLY) || both(F.RDONLY_PROG, F.WRONLY_PROG),
    'EINVAL',
    'both read-only and write-only',
    'one of the two',
  );
  // Of a perf_event_array 0 means an entry per lane: createMap fills it in, as libbpf does with CPUs.
  if (type !== 'ringbuf' && type !== 'perf_event_array')
    refuse(maxEntries === 0, 'EINVAL', 'max_entries 0', 'at least 1');

  const key = (n: number): void => refuse(keySize !== n, 'EINVAL', `key of ${keySize} bytes`, `${n}`);
  const value = (...sizes: number[]): void =>
    refuse(!sizes.includes(valueSize), 'EINVAL', `value of ${valueSize} bytes`, sizes.join(' or '));
  const someValue = (): void => refuse(valueSize === 0, 'EINVAL', 'value of 0 bytes', 'at least 1');

  if (isHashTable(type) && type !== 'devmap_hash') {
    refuse(keySize === 0, 'EINVAL', 'key of 0 bytes', 'at least 1');
    someValue();
    if (type === 'hash_of_maps') value(4);
    refuse(
      keySize + valueSize >= KMALLOC_MAX - HTAB_ELEM,
      'E2BIG',
      `key and value of ${keySize + valueSize} bytes`,
      `less than ${KMALLOC_MAX - HTAB_ELEM}`,
    );
  }
  switch (type) {
    case 'array':
    case 'percpu_array':
      key(4);
      someValue();
      refuse(valueSize > 0x7fffffff, 'E2BIG', `value of ${valueSize} bytes`, 'less than 2 GiB');
      break;
    case 'prog_array':
    case 'perf_event_array':
    case 'array_of_maps':
    case 'xskmap':
      key(4);
      value(4);
      break;
    case 'devmap':
    case 'devmap_hash':
    case 'cpumap':
      key(4);
      value(4, 8);
      refuse(
        type === 'cpumap' && maxEntries > CPUS_MAX,
        'E2BIG',
        `${maxEntries} entries`,
        `at most ${CPUS_MAX}`,
      );
      break;
    case 'lpm_trie':
      refuse(!(flags & F.NO_PREALLOC), 'EINVAL', 'no BPF_F_NO_PREALLOC', 'flags to contain 1');
      refuse(
        keySize < 5 || keySize > 260,
        'EINVAL',
        `key of ${keySize} bytes`,
        '5 to 260: a u32 prefix length, then 1 to 256 bytes',
      );
      someValue();
      refuse(valueSize > KMALLOC_MAX - 256 - 64, 'EINVAL', `value of ${valueSize} bytes`, 'less than 4 MiB');
      break;
    case 'queue':
    case 'stack':
      key(0);
      someValue();
      refuse(valueSize > KMALLOC_MAX, 'E2BIG', `value of ${valueSize} bytes`, 'at most 4 MiB');
      break;
    case 'bloom_filter':
      key(0);
      someValue();
      break;
    case 'struct_ops':
      key(4);
      refuse(
        !opsTypes.some(t => t.bytes === valueSize),
        'EINVAL',
        `value of ${valueSize} bytes`,
        'a structure of functions',
      );
      refuse(maxEntries !== 1, 'EINVAL', `max_entries ${maxEntries}`, '1');
      break;
    case 'pkt_queue':
      key(0);
      value(0);
      break;
    case 'ringbuf':
      key(0);
      value(0);
      refuse(
        !powerOfTwo(maxEntries) || maxEntries % 4096 !== 0,
        'EINVAL',
        `max_entries ${maxEntries}`,
        'a power of two of at least 4096 (bytes)',
      );
      break;
  }
  if (isPerCpu(type))
    refuse(
      Math.ceil(valueSize / 8) * 8 > PERCPU_VALUE_MAX,
      'E2BIG',
      `per-CPU value of ${valueSize} bytes`,
      `at most ${PERCPU_VALUE_MAX}`,
    );
  if (type === 'array_of_maps' || type === 'hash_of_maps') checkInner(spec, refuse);
  const contents = spec.contents?.length ?? 0;
  refuse(
    contents > 0 && ((type !== 'array' && type !== 'struct_ops') || contents > valueSize * maxEntries),
    'EINVAL',
    `${contents} bytes of contents`,
    'an array of at least as many',
  );
  spinLockOffset(spec);
  timerOffset(spec);
  checkObjects(spec, refuse);
}

/** Trees, lists, kptrs and reference counts in the value (kernel: map_check_btf). */
function checkObjects(spec: MapSpec, refuse: Refuse): void {
  if (!spec.btf?.valueId) return;
  let holds: string | undefined;
  try {
    const record = valueRecord(spec.btf.types, spec.btf.valueId);
    holds = record?.fields.find(f => f.name !== 'bpf_spin_lock' && f.name !== 'bpf_timer')?.name;
    const outside = record?.fields.find(f => f.off + f.bytes > spec.valueSize);
    refuse(outside !== undefined, 'EINVAL', `a ${outside?.name} beyond the value`, 'members inside it');
  } catch (cause) {
    if (!(cause instanceof EtherloomError) || cause instanceof MapError) throw cause;
    refuse(true, 'EINVAL', cause.message, cause.expected ?? 'types that can hold objects');
  }
  if (holds === undefined) return;
  const types = ['hash', 'array', 'lru_hash'];
  refuse(!types.includes(spec.type), 'EOPNOTSUPP', `a ${holds} in the value`, types.join(', '));
  const access = F.RDONLY_PROG | F.WRONLY_PROG;
  refuse(
    (spec.flags & access) !== 0,
    'EACCES',
    `a ${holds} in the value`,
    'a map that programs may read and write',
  );
}

/** map_extra: hash functions of a bloom filter, slots of a bucket. */
function checkExtra({ type, extra = 0 }: MapSpec, refuse: Refuse): void {
  const bad = (wrong: boolean, expected: string): void =>
    refuse(wrong, 'EINVAL', `map_extra ${extra}`, expected);
  if (type === 'bloom_filter') bad((extra & ~15) !== 0, '0 to 15 hash functions');
  else if (type === 'pkt_queue')
    bad(!u32(extra) || extra < 1 || extra > SLOTS_MAX, `1 to ${SLOTS_MAX} slots`);
  else bad(extra !== 0, '0');
}

type Refuse = (when: boolean, errno: ErrnoName, what: string, expected: string) => void;

function checkInner(spec: MapSpec, refuse: Refuse): void {
  const inner = spec.inner;
  refuse(!inner, 'EINVAL', 'no inner map', 'a template of the inner maps');
  refuse(
    inner!.type === 'array_of_maps' || inner!.type === 'hash_of_maps',
    'EINVAL',
    'a map of maps inside a map of maps',
    'one level',
  );
  refuse(
    !INNER_TYPES.has(inner!.type),
    'ENOTSUPP',
    `inner map of type ${inner!.type}`,
    [...INNER_TYPES].join(', '),
  );
  checkSpec(inner!);
  refuse(spinLockOffset(inner!) !== undefined, 'ENOTSUPP', 'inner values with a bpf_spin_lock', 'none');
}

/**
 * Byte offset of the `struct bpf_spin_lock` in the value, in a structure or array inside it too, if BTF tells of one. Found
 * as the verifier finds it: a lock that programs may take but updates write over could be left taken by nobody, for ever.
 * @throws MapError EOPNOTSUPP for types whose values cannot hold one, EINVAL when it is twice there or unaligned.
 */
export const spinLockOffset = (spec: MapSpec): number | undefined =>
  memberOffset(spec, 'bpf_spin_lock', { bytes: 4, align: 4 });

/**
 * Byte offset of the `struct bpf_timer` in the value, found as the lock is.
 * @throws MapError EOPNOTSUPP for types whose values cannot hold one, EINVAL when it is twice there or unaligned.
 */
export const timerOffset = (spec: MapSpec): number | undefined =>
  memberOffset(spec, 'bpf_timer', { bytes: 16, align: 8 });

function memberOffset(
  spec: MapSpec,
  name: string,
  { bytes, align }: { bytes: number; align: number },
): number | undefined {
  if (!spec.btf?.valueId) return undefined;
  const found = specialFields(spec.btf.types, spec.btf.valueId).filter(f => f.name === name);
  if (found.length === 0) return undefined;
  const { off } = found[found.length - 1];
  if (found.length > 1 || off % align !== 0 || off + bytes > spec.valueSize)
    throw new MapError('EINVAL', `map "${spec.name}": ${name} at byte ${off} of the value`, {
      expected: `one, ${align}-byte aligned, inside the value`,
    });
  if (!['hash', 'array', 'lru_hash'].includes(spec.type))
    throw new MapError('EOPNOTSUPP', `map "${spec.name}" (${spec.type}): a ${name} in the value`, {
      expected: 'hash, array or lru_hash',
    });
  return off;
}

/** bpf_map_meta_equal: whether a map may be put into a map of maps made with template `inner`. */
export function sameShape(inner: MapSpec, map: MapSpec): boolean {
  return (
    inner.type === map.type &&
    inner.keySize === map.keySize &&
    inner.valueSize === map.valueSize &&
    inner.flags === map.flags &&
    timerOffset(inner) === timerOffset(map) &&
    ((inner.type !== 'array' && inner.type !== 'percpu_array') ||
      (inner.flags & F.INNER_MAP) !== 0 ||
      inner.maxEntries === map.maxEntries)
  );
}
