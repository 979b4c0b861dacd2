/** Flags of map creation and of updates, as in include/uapi/linux/bpf.h. */
export const MapFlag = {
  NO_PREALLOC: 1 << 0,
  NO_COMMON_LRU: 1 << 1,
  NUMA_NODE: 1 << 2,
  RDONLY: 1 << 3,
  WRONLY: 1 << 4,
  ZERO_SEED: 1 << 6,
  RDONLY_PROG: 1 << 7,
  WRONLY_PROG: 1 << 8,
  MMAPABLE: 1 << 10,
  PRESERVE_ELEMS: 1 << 11,
  INNER_MAP: 1 << 12,
  /** struct_ops: to be attached by a link. */
  LINK: 1 << 13,
} as const;

/** Flags of set(). */
export const UpdateFlag = {
  /** Insert or replace. */
  ANY: 0,
  /** Insert only: ERR_MAP_EEXIST when the key is there. */
  NOEXIST: 1,
  /** Replace only: ERR_MAP_ENOENT when it is not. */
  EXIST: 2,
  /** Hold the value's bpf_spin_lock meanwhile; may be or-ed to the others. */
  LOCK: 4,
} as const;

/** Flags of ring buffer output. */
export const RingFlag = { NO_WAKEUP: 1, FORCE_WAKEUP: 2 } as const;
