// The trace log: bpf_trace_printk and bpf_trace_vprintk (kernel/trace/bpf_trace.c). A line goes into the lane's
// TraceRing, where the host reads it (host/engine/trace.ts); without a ring, or without room, it only counts.
import { nowNs } from "../../core/clock";
import { self } from "../../core/lane";
import { LaneState, TRACE_LINE_BYTES, TraceRing } from "../../layout.gen";
import { EINVAL } from "./errno";
import { badArgs, format } from "./format";

/** {u32 length, u64 ns} before the text, 4-byte steps. */
const HEAD: u32 = 12;

/** Copies `len` bytes to position `pos` of the ring, around its end. */
function copyIn(ring: TraceRing, pos: u32, from: usize, len: u32): void {
  const offset = pos & (ring.bytes - 1);
  const first = min<u32>(len, ring.bytes - offset);
  memory.copy(ring.dataAt + offset, from, first);
  if (first < len) memory.copy(ring.dataAt, from + first, len - first);
}

function word(ring: TraceRing, pos: u32, value: u32): void {
  store<u32>(ring.dataAt + (pos & (ring.bytes - 1)), value);
}

function line(fmt: usize, fmtLen: u32, args: usize, count: u32): i32 {
  const ring = changetype<TraceRing>(<usize>self().traceAt);
  if (changetype<usize>(ring) == 0) return format(0, 0, fmt, fmtLen, args, count);
  const text: usize = ring.lineAt;
  const made = format(text, TRACE_LINE_BYTES, fmt, fmtLen, args, count);
  if (made < 0) return made;
  const len = min<u32>(made, TRACE_LINE_BYTES - 1);
  const at = ring.producer;
  const need = HEAD + ((len + 3) & ~3);
  const taken = at - atomic.load<u32>(changetype<usize>(ring), offsetof<TraceRing>("consumer"));
  if (taken + need > ring.bytes) {
    ring.lost++;
    return made;
  }
  word(ring, at, len);
  word(ring, at + 4, <u32>nowNs);
  word(ring, at + 8, <u32>(nowNs >> 32));
  copyIn(ring, at + HEAD, text, len);
  atomic.store<u32>(changetype<usize>(ring), at + need, offsetof<TraceRing>("producer"));
  return made;
}

export function trace_printk(fmt: usize, fmtLen: u32, a: u64, b: u64, c: u64): i32 {
  const args = changetype<usize>(self()) + offsetof<LaneState>("printArgs0");
  store<u64>(args, a);
  store<u64>(args, b, 8);
  store<u64>(args, c, 16);
  return line(fmt, fmtLen, args, 3);
}

export function trace_vprintk(fmt: usize, fmtLen: u32, args: usize, bytes: u32): i32 {
  if (badArgs(args, bytes)) return -EINVAL;
  return line(fmt, fmtLen, args, bytes >> 3);
}
