// The lane's clock, in ns. Wasm has none: the host sets it before each loop_run. In a worker that is up to
// EngineOptions.rounds rounds (8) while there is work, in an inline engine as many as step() is asked for (1), in real
// or virtual time. Everything that a lane does within them happens at the same instant.

/** CLOCK_MONOTONIC, or the virtual clock, ns. */
export let nowNs: u64 = 0;

export function clock_set(ns: u64): void {
  nowNs = ns;
}

/** The same from a number, which costs JavaScript a fraction of a bigint: exact to 1 ns for the first 104 days of uptime. */
export function clock_set_number(ns: f64): void {
  nowNs = <u64>ns;
}
