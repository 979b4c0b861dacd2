/** Echo: what comes goes back. RFC 862, and eTran's epoll_server. */
import { ANSWERS_FULL, type Answers, type Service, type Session } from '../service.js';

const session: Session = {
  ended: false,
  take(bytes: Uint8Array, n: number, out: Answers): number {
    const room = ANSWERS_FULL - out.length;
    const taken = n < room ? n : room;
    if (taken > 0) out.append(bytes, taken);
    return taken;
  },
};

/** One session does for all connections: it knows nothing of them. */
export const echo = (): Service => ({ open: () => session });
