// What became of a packet that the responder looked at. Returned by each file that knows a protocol, acted upon by answer.ts.

export const enum Outcome {
  /** Not for it: the packet goes on to the host. */
  PASS = 0,
  /** Done with it: the frame is free. */
  TAKEN = 1,
  /** The packet was turned into its answer, which stands at `replyAt`. */
  REPLY = 2,
  /** A header or a checksum is wrong: dropped, as every host does. */
  BAD = 3,
}

/** First byte of the answer, and its length. */
export let replyAt: usize = 0;
export let replyLen: u32 = 0;

export function reply(at: usize, len: u32): Outcome {
  replyAt = at;
  replyLen = len;
  return Outcome.REPLY;
}
