// bpf_spin_lock: a word inside a map value. Lanes are threads, so this is a real lock; holders run a few
// instructions (the verifier allows no call while it is held). Waiting is maps/lock.ts'.
export { spinLock as spin_lock, spinUnlock as spin_unlock } from "../maps/lock";
