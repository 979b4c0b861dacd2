/**
 * What an application inside a lane and its stack say to each other: by a port, which the lane looks at only when a word in
 * shared memory says that there is something.
 */
import type { MessagePort } from 'node:worker_threads';
import type { Answer, Ask } from '../burst/calls.js';

/** What a lane is given to have an application. */
export interface InLaneGiven {
  /** URL of the application's module. */
  module: string;
  /** The user's own. */
  data: unknown;
  /** Number of the application. */
  number: number;
  /** Name of the transport, and where its connections stand in memory. */
  transport: string;
  shared: unknown;
  /** The same of messages, if the stack has a transport of them. */
  messages: { transport: string; shared: unknown } | undefined;
  port: MessagePort;
  /** One word: raised for each message to the lane. */
  bell: SharedArrayBuffer;
}

/** Lane → stack. */
export type FromLane =
  | Ask
  /** Its module is loaded, and was called. */
  | { began: true }
  /** Something for whoever opened it. */
  | { told: unknown }
  /** It was asked to end, and sends on what it has answered: that may take its time. */
  | { settling: true }
  /** It is no more in that lane; why, when it was not asked to. */
  | { ended: string | undefined; stack?: string };

/** Stack → lane. */
export type ToLane = Answer | { heard: unknown } | { end: true };
