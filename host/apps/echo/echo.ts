/** Echo: what comes goes back. RFC 862, and eTran's epoll_server, whose answers may be short. */
import { Stage } from '../patience.js';
import { ANSWERS_FULL, type Answers, type Service, type Session } from '../service.js';

/** Bytes that tell their place: position modulo this. */
export const PATTERN_BYTES = 251;
/** Bytes of a short answer: eTran's. */
export const SHORT_BYTES = 100;

const session: Session = {
  ended: false,
  stage: Stage.BETWEEN,
  requests: 0,
  take(bytes: Uint8Array, n: number, out: Answers): number {
    const room = ANSWERS_FULL - out.length;
    const taken = n < room ? n : room;
    if (taken > 0) out.append(bytes, taken);
    return taken;
  },
};

/** Answers each message of a length with few bytes: the direction back costs less, as of most requests. */
class ShortSession implements Session {
  readonly ended = false;
  requests = 0;
  /** Bytes of the message that is under way. */
  #got = 0;
  #sent = 0;

  constructor(readonly messageBytes: number) {}

  get stage(): Stage {
    return this.#got > 0 ? Stage.HEAD : Stage.BETWEEN;
  }

  take(_bytes: Uint8Array, n: number, out: Answers): number {
    let taken = 0;
    while (taken < n && !out.full) {
      const more = Math.min(n - taken, this.messageBytes - this.#got);
      taken += more;
      this.#got += more;
      if (this.#got < this.messageBytes) break;
      this.#got = 0;
      this.requests++;
      const at = out.reserve(SHORT_BYTES);
      for (let i = 0; i < SHORT_BYTES; i++) out.bytes[at + i] = (this.#sent + i) % PATTERN_BYTES;
      this.#sent += SHORT_BYTES;
    }
    return taken;
  }
}

/**
 * One session does for all connections, for it knows nothing of them, unless answers are short.
 * @param short bytes of the messages that are answered so
 */
export const echo = (short?: number): Service => ({
  open: () => (short === undefined ? session : new ShortSession(short)),
});
