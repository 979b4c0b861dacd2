// bpf_spin_lock: a word inside a map value. Lanes are threads, so this is a real lock; holders run a few
// instructions (the verifier allows no call while it is held), so waiting is spinning.
export function spin_lock(lock: usize): void {
  while (atomic.cmpxchg<u32>(lock, 0, 1) != 0) {
    while (atomic.load<u32>(lock) != 0) {}
  }
}

export function spin_unlock(lock: usize): void {
  atomic.store<u32>(lock, 0);
}
