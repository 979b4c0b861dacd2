// Hooks: the only place from which a program is called for a packet. A hook is a table slot in Port.hook, 0 = nothing
// attached. Beside it only BPF_PROG_TEST_RUN calls programs (test_run.ts: r0 whole) and bpf_for_each_map_elem callbacks.
import { Hook, PORT_HOOK, Port } from "../layout.gen";

/** The slot at `hook` of a port. Atomic: the control plane publishes it while lanes run. */
// @ts-ignore: decorator
@inline export function slotAt(port: Port, hook: Hook): u32 {
  return atomic.load<u32>(changetype<usize>(port) + ((<u32>hook) << 2), PORT_HOOK);
}

/** Runs the program in table slot `slot`; ctx is its context's address. */
// @ts-ignore: decorator
@inline export function runProgram(slot: u32, ctx: usize): u32 {
  return <u32>call_indirect<u64>(slot, <u32>ctx);
}
