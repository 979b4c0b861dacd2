/**
 * What carries messages for one host of a load: requests to peers, whose answers come back whole. Homa's slots, or framed
 * connections of TCP (tcp_messages.ts); who loads a network (client.ts, bench/scenarios/homa/) sees no difference.
 */

/** The answer to a request is here in whole, or there will be none: why. */
export type Done = (error: string | undefined) => void;

export interface MessageCarrier {
  /** Whether all peers can be called. */
  readonly ready: boolean;
  /** Bytes that the answer to a request of so many has. */
  answerBytes(bytes: number): number;
  /** Sends a request of `bytes` bytes to a peer, by its number. */
  begin(peer: number, bytes: number, done: Done): void;
  /** Takes in what came, answers requests, sends what there is room for. Returns how many had news. */
  turn(): number;
  /** Requests that this host has answered, and their bytes: what a server counts. */
  readonly served: { requests: number; bytesIn: number; bytesOut: number };
  close(): void;
}

/** Bytes of an answer to a request that goes one way (cp_node: `--one-way`). */
export const ONE_WAY_ANSWER = 100;
