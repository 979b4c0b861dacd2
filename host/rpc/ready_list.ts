/**
 * What of a carrier has news, and what the last events have bytes of: connections, slots, sockets. Both lists are used again.
 * Those with news take turns: whoever had one and has more stands behind all others, so that none waits for longer than each
 * of them needs for one batch of events.
 */
import type { Events } from './event.js';

/** Those that stand in the list though they had their turn, at most. */
const MOST_WORKED = 1024;

/** A connection, a slot or a socket, as its carrier visits it. */
export interface Visited {
  /** It stands in the list of those with news. */
  ready: boolean;
  /** Its last events have bytes in the ring. */
  touched: boolean;
  readonly over: boolean;
  /** Takes what came. Returns whether there may be more: it is visited again, at a later poll, and last. */
  work(events: Events): boolean;
  /** The bytes of its events are given back. */
  done(): void;
}

export class ReadyList<T extends Visited> {
  private readonly news: T[] = [];
  /** Of these, those that had their turn. */
  private worked = 0;
  private readonly touched: T[] = [];

  get some(): boolean {
    return this.news.length > 0;
  }

  /** It has news. */
  add(each: T): void {
    if (each.ready || each.over) return;
    each.ready = true;
    this.news.push(each);
  }

  /** It has told of bytes in its ring. */
  touch(each: T): void {
    each.touched = true;
    this.touched.push(each);
  }

  /** Visits those with news until `events` is full, each at most once. */
  work(events: Events): void {
    const list = this.news;
    const end = list.length;
    let done = this.worked;
    while (done < end && !events.full) {
      const each = list[done++];
      if (each.work(events)) list.push(each);
      else each.ready = false;
    }
    if (done === list.length) {
      list.length = 0;
      done = 0;
    } else if (done >= MOST_WORKED) {
      list.splice(0, done);
      done = 0;
    }
    this.worked = done;
  }

  /** Gives the bytes back that were told of. */
  done(): void {
    const { touched } = this;
    for (let i = 0; i < touched.length; i++) touched[i].done();
    touched.length = 0;
  }
}
