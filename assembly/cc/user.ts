// Congestion control as eBPF programs of a user (struct_ops): the programs of a map that the host registered under a number
// from CcAlgorithm.USER on. Called by cc.ts; the verifier has seen to what they may write, and to nothing else, so that
// what they leave is brought within bounds here. Flows whose algorithm was withdrawn go on with Reno's arithmetic.
//
//   ArenaHeader.ccOps[n - USER] ──▶ CcOps { init, event: table slots } ──▶ program(args) ── args: LaneState.opsArgs
import { ArenaHeader, CC_USERS, Cc, CcAlgorithm, CcEvent, CcOps, LaneState } from "../layout.gen";
import { runProgram } from "../core/hooks";
import { header, laneState } from "../core/lane";
import { reno } from "./reno";
import { cwndOf, toRate } from "./window";

/** The programs of algorithm `number`; null when there are none. */
// @ts-ignore: decorator
@inline function opsOf(number: u32): CcOps {
  const n = number - CcAlgorithm.USER;
  if (n >= <u32>CC_USERS) return changetype<CcOps>(0);
  const at = changetype<usize>(header()) + offsetof<ArenaHeader>("ccOps0") + (n << 2);
  return changetype<CcOps>(<usize>atomic.load<u32>(at));
}

/** Whether algorithm `number` is one of a user's. */
export function isUsers(number: u32): bool { return changetype<usize>(opsOf(number)) != 0; }

/** Calls a program with the addresses of its arguments. Returns what it returns. */
function call(slot: u32, cc: Cc, event: usize): i32 {
  const args = laneState + offsetof<LaneState>("opsArgs0");
  store<u64>(args, changetype<usize>(cc));
  store<u64>(args, event, 8);
  const result = <i32>runProgram(slot, args);
  cc.cwnd = cwndOf(cc);
  cc.rate = toRate(<f64>cc.rate);
  return result;
}

/** Begins. What its `init` returns: less than 0 when it will not have the flow. */
export function userInit(cc: Cc): i32 {
  const ops = opsOf(cc.algorithm);
  const slot = <u32>ops.init;
  return slot == 0 ? 0 : call(slot, cc, 0);
}

export function userEvent(cc: Cc, e: CcEvent): void {
  const ops = opsOf(cc.algorithm);
  const slot = changetype<usize>(ops) == 0 ? 0 : <u32>ops.event;
  if (slot == 0) reno(cc, e);
  else call(slot, cc, changetype<usize>(e));
}
