// The lane's clock, in ns. Wasm has none: the host sets it once per burst (real time) or steps it (virtual time).
// Everything that a lane does within one burst happens at the same instant.

/** CLOCK_MONOTONIC, or the virtual clock, ns. */
export let nowNs: u64 = 0;

export function clock_set(ns: u64): void {
  nowNs = ns;
}
