/**
 * A transport and an application on one stream whose rings grow, step by step by a seed. The transport is what a lane's
 * programs would be: what it knows of itself survives the lane's death, as a flow does, and it tells the core again.
 */
import { mendStreams, streamMemory } from '../../host/mem/streams.js';
import type { StreamApp } from '../../host/streams/stream_app.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { random } from '../support/random.js';
import { steppedCore } from '../support/stepped_core.js';
import { assert } from '../support/suite.js';
import { KIB, pattern, StreamRig } from './rig.js';

class Death extends Error {}

const MOST = 256 * KIB;
const SEGMENT = 1460;
const CHUNK = 40 * KIB;

/** The pattern begins anew after 64 KiB: it need not be made for each look. */
const PERIOD = 64 * KIB;
const patterns = [0, 1].map(seed => pattern(0, 2 * PERIOD, seed));
const expected = (from: number, n: number, seed = 0): Uint8Array =>
  patterns[seed].subarray(from % PERIOD, (from % PERIOD) + n);
const same = (a: Uint8Array, b: Uint8Array, what: string): void => assert.is(Buffer.compare(a, b), 0, what);

export class Growing {
  readonly rig: StreamRig;
  readonly app: StreamApp;
  readonly end: StreamEnd;
  readonly #next: () => number;
  /** Of the transport: received, acknowledged by the peer. */
  #received = 0;
  #acked = 0;
  #limit = 0;
  /** Of the application. */
  #read = 0;
  #written = 0;
  deaths = 0;
  /** Accesses of the lane until something happens between two of them. */
  #fuse = Number.POSITIVE_INFINITY;
  #burn: (store: boolean) => void = () => {};
  #busy = false;

  private constructor(seed: number, bytes: number) {
    this.#next = random(seed);
    this.rig = new StreamRig({ count: 64, bytes });
    this.app = this.rig.apps.open();
    this.end = this.rig.apps.stream(this.app, {
      send: MOST,
      receive: MOST,
      first: { send: 16 * KIB, receive: 16 * KIB },
    });
  }

  static async create(seed: number, bytes = 4096 * KIB): Promise<Growing> {
    const made = new Growing(seed, bytes);
    await made.#revive();
    return made;
  }

  async #revive(): Promise<void> {
    this.rig.cores[0] = await steppedCore(this.rig.arena, 0, store => {
      if (this.#busy || --this.#fuse > 0) return;
      this.#fuse = Number.POSITIVE_INFINITY;
      this.#burn(store);
    });
  }

  #below(n: number): number {
    return this.#next() % n;
  }

  // ── the transport ─────────────────────────────────────────────────────────────────────────────────────────────

  #deliver(): void {
    const { id } = this.end;
    const x = this.rig.lane();
    const limit = x.el_stream_rcv_limit(id) >>> 0;
    assert.ok(limit >= this.#limit, `room to ${this.#limit} was said, and then to ${limit}`);
    this.#limit = limit;
    const n = Math.min(limit - this.#received, 1 + this.#below(SEGMENT));
    if (n === 0) return;
    this.rig.packet(expected(this.#received, n));
    assert.ok(x.el_stream_place(this.rig.ctx, 0, id, this.#received, n) >= 0);
    this.#received += n;
    assert.is(x.el_stream_received(id, this.#received), 0);
  }

  #widen(): void {
    const { id } = this.end;
    const x = this.rig.lane();
    x.el_stream_widen(id, 2 * x.el_stream_rcv_size(id, 0));
  }

  #send(): void {
    const { id } = this.end;
    const x = this.rig.lane();
    const have = (x.el_stream_snd_end(id) >>> 0) - this.#acked;
    const n = Math.min(have, 1 + this.#below(SEGMENT));
    if (n === 0) return;
    const from = this.#acked + this.#below(have - n + 1);
    this.rig.packet(new Uint8Array(n));
    assert.ok(x.el_stream_fetch(this.rig.ctx, 0, id, from, n) >= 0);
    same(this.rig.bytes, expected(from, n, 1), `bytes from ${from}`);
    if (this.#below(3) === 0) return;
    this.#acked += n;
    assert.is(x.el_stream_acked(id, this.#acked), 0);
  }

  /** One step of the lane. */
  lane(): void {
    const { id } = this.end;
    const what = this.#below(10);
    if (what < 4) this.#deliver();
    else if (what < 5) this.#widen();
    else if (what < 8) this.#send();
    else if (what < 9) this.rig.lane().stream_turn();
    else this.rig.lane().el_stream_snd_goal(id, (2 * KIB) << this.#below(9));
  }

  /** A step of the lane, which dies before the store after so many accesses. Returns whether it did. */
  async dying(after: number): Promise<boolean> {
    this.#fuse = after;
    const burn = (store: boolean): void => {
      if (store) throw new Death();
      // Only a store makes a difference.
      this.#fuse = 1;
    };
    this.#burn = burn;
    try {
      this.lane();
      return false;
    } catch (error) {
      if (!(error instanceof Death)) throw error;
    } finally {
      this.#fuse = Number.POSITIVE_INFINITY;
    }
    this.deaths++;
    await this.#revive();
    mendStreams(this.rig.arena, 0);
    this.rig.conserved();
    assert.is(this.rig.lane().el_stream_received(this.end.id, this.#received), 0);
    assert.is(this.rig.lane().el_stream_acked(this.end.id, this.#acked), 0);
    return true;
  }

  /** A step of the lane, in which the application does something after each so many accesses. */
  interrupted(every: number): void {
    const again = (): void => {
      this.#busy = true;
      this.application();
      this.#busy = false;
      this.#fuse = 1 + this.#below(every);
    };
    this.#fuse = 1 + this.#below(every);
    this.#burn = again;
    this.lane();
    this.#fuse = Number.POSITIVE_INFINITY;
  }

  // ── the application ───────────────────────────────────────────────────────────────────────────────────────────

  #check(bytes: Uint8Array): void {
    same(bytes, expected(this.#read, bytes.length), `${bytes.length} bytes from ${this.#read}`);
    this.#read += bytes.length;
  }

  #readSome(): void {
    if (this.#below(2)) {
      const into = new Uint8Array(1 + this.#below(CHUNK));
      this.#check(into.subarray(0, this.end.read(into)));
      return;
    }
    const all = Buffer.concat(this.end.readViews());
    assert.ok(all.length <= this.end.readable);
    const n = Math.min(this.#below(all.length + 1), CHUNK);
    this.end.consume(n);
    this.#check(all.subarray(0, n));
  }

  #writeSome(): void {
    const bytes = expected(this.#written, 1 + this.#below(CHUNK), 1);
    if (this.#below(2)) {
      this.#written += this.end.write(bytes);
      return;
    }
    let n = 0;
    for (const view of this.end.writeViews()) {
      const part = bytes.subarray(n, n + view.length);
      view.set(part);
      n += part.length;
    }
    // Events and other calls may come between.
    if (this.#below(2)) this.end.wantRoom(this.#below(MOST));
    this.end.commit(n);
    this.#written += n;
  }

  /** One step of the application. */
  application(): void {
    const what = this.#below(8);
    if (what < 3) this.#readSome();
    else if (what < 6) this.#writeSome();
    else if (what < 7) this.end.wantRoom(this.#below(MOST));
    else this.app.take(() => {});
    this.app.flush();
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Everything that is under way arrives; then nothing is left of the stream. */
  finish(): { received: number; sent: number; send: number; receive: number } {
    const into = new Uint8Array(CHUNK);
    const { id } = this.end;
    for (let i = 0; i < 20_000 && (this.#read < this.#received || this.#acked < this.#written); i++) {
      this.app.flush();
      this.rig.settle();
      this.#send();
      this.#check(into.subarray(0, this.end.read(into)));
    }
    assert.equal([this.#read, this.#acked], [this.#received, this.#written]);
    assert.ok(this.end.write(expected(this.#written, 1, 1)) <= 1);
    this.rig.conserved();
    const sizes = { send: this.rig.record(id).sndBytes, receive: this.rig.record(id).rcvBytes };
    this.end.release();
    this.app.flush();
    this.rig.lane().el_stream_free(id);
    this.rig.settle();
    assert.is(this.rig.conserved().used, 0);
    const { least, more } = streamMemory(this.rig.arena);
    assert.equal([least, more], [0, 0]);
    return { received: this.#received, sent: this.#acked, ...sizes };
  }
}
