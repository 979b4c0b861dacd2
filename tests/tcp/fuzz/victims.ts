/**
 * Connections that fuzzing may do anything to: opened from either side, in every state, by handshakes that are right; what
 * their applications do is drawn, too. They need not live, but the host must.
 */
import { StreamEvent, StreamRequest } from '../../../host/layout/layout.gen.js';
import type { StreamEnd } from '../../../host/streams/stream_end.js';
import type { Rng } from '../../support/fuzz.js';
import type { Scene } from '../attack/scene.js';
import { address, forge, type Quick } from './forge.js';
import { NOTHING, type Numbers, numbersOf, wordsOf } from './numbers.js';
import { stamped } from './options.js';

/** The host's listening ports: plain, always by cookies, with a small backlog. */
export const PORTS = [80, 81, 82] as const;
const MANY = 24;
/** Of the engine; and how many may be in use before no more victims come: handshakes and those that must live have room. */
export const STREAMS = 512;
const BUSY = 256;
const SYN = 2;
const ACK = 16;
const HOST = { 4: address('10.0.0.2'), 6: address('fd00::2') } as const;

export interface Victim {
  /** Number of its stream; 0: the host does not have it (any more). */
  id: number;
  family: 4 | 6;
  peer: Uint8Array;
  host: Uint8Array;
  /** The peer's port, and the host's. */
  sport: number;
  dport: number;
}

export class Victims {
  readonly all: Victim[] = [];
  readonly #ends = new Map<number, StreamEnd>();
  readonly #slots = new Map<number, number>();
  readonly #words: ReturnType<typeof wordsOf>;
  #count = 0;
  into = new Uint8Array(65536);

  constructor(readonly scene: Scene) {
    const { b } = scene.pair;
    this.#words = wordsOf(b);
    const small = { sndBytes: 16_384, rcvBytes: 16_384 };
    for (const [i, port] of PORTS.entries())
      for (const family of [4, 6] as const) {
        const flags = [0, 8192, 0][i];
        const slot = b.listen(family, port, [64, 64, 2][i], { ...small, flags, minRtoUs: 50_000 });
        this.#slots.set(slot, port);
      }
  }

  numbers({ id }: { id: number }): Numbers {
    return id ? numbersOf(this.scene.pair.b, id, this.#words) : NOTHING;
  }

  #plain(v: Victim, more: Partial<Quick>): Quick {
    return {
      ...{
        src: v.peer,
        dst: v.host,
        sport: v.sport,
        dport: v.dport,
        seq: 0,
        ack: 0,
        flags: ACK,
        window: 65535,
      },
      ...{ urgent: 0, options: new Uint8Array(0), payload: 0, extra: 0, ecn: 0 },
      ...{ wrongSum: 0, wrongOffset: 0, wrongLength: 0 },
      ...more,
    };
  }

  #new(rng: Rng): Victim {
    const n = this.#count++;
    const family = rng.chance(0.4) ? 6 : 4;
    return {
      ...{ id: 0, family, host: HOST[family] },
      peer: address(family === 4 ? `10.66.1.${n % 250}` : `fd66::${(n % 250).toString(16)}`),
      sport: 1024 + ((n * 7) % 60_000),
      dport: rng.pick(PORTS),
    };
  }

  /** What came to a peer: sequence number of the host's SYN. */
  #synOf(v: Victim): number | undefined {
    const seen = this.scene.taken(v.sport);
    return seen.find(s => s.srcPort === v.dport && s.flags & SYN)?.seq;
  }

  /** Opens one more connection, or brings one half-way. */
  open(rng: Rng): void {
    const { scene } = this;
    const { b } = scene.pair;
    // Those that are closed and whose peers say nothing take their time.
    if (scene.streams() > BUSY) return;
    const v = this.#new(rng);
    this.all.push(v);
    if (this.all.length > MANY) this.all.shift();
    if (rng.chance(0.2)) {
      // The host calls; nobody answers yet.
      const [local, remote] = v.family === 4 ? ['10.0.0.2', '10.66.1.1'] : ['fd00::2', 'fd66::1'];
      v.peer = address(remote);
      v.dport = 30_000 + (this.#count % 20_000);
      v.sport = 443;
      const end = b.connect(local, v.dport, remote, v.sport, { sndBytes: 16_384, rcvBytes: 16_384 }, 3);
      v.id = end.id;
      this.#ends.set(end.id, end);
      return;
    }
    const iss = rng.u32();
    const options = rng.chance(0.7)
      ? Uint8Array.of(2, 4, 5, 180, ...stamped(1000), 1, 1, 4, 2, 1, 3, 3, rng.below(15))
      : Uint8Array.of(2, 4, 5, 180);
    scene.raw(forge(this.#plain(v, { seq: iss, flags: SYN, options }), rng));
    b.settle();
    const irs = this.#synOf(v);
    const { id } = this.#find(v);
    v.id = id;
    if (irs === undefined || rng.chance(0.2)) return;
    const stamps = options.length > 4 ? stamped(1001) : new Uint8Array(0);
    // A cookie's timestamp must come back, and `stamped` echoes none: then without the others.
    scene.raw(forge(this.#plain(v, { seq: iss + 1, ack: irs + 1, options: stamps }), rng));
    this.work(rng);
    v.id = this.#find(v).id;
  }

  #find(v: Victim): { id: number } {
    const { b } = this.scene.pair;
    const words = (bytes: Uint8Array): number[] =>
      Array.from({ length: bytes.length / 4 }, (_, i) =>
        new DataView(bytes.buffer, bytes.byteOffset).getUint32(i * 4, true),
      );
    const swap = (n: number): number => ((n & 255) << 8) | (n >> 8);
    const ports = { rport: swap(v.sport), lport: swap(v.dport) };
    const key =
      v.family === 4
        ? { remote: words(v.peer)[0], local: words(v.host)[0], ...ports }
        : { remote: words(v.peer), local: words(v.host), ...ports };
    return { id: Number(b.map(v.family === 4 ? 'tcp4' : 'tcp6').get(key) ?? 0) };
  }

  /** The applications: take what is accepted, read, write, close. */
  work(rng: Rng): void {
    const { b } = this.scene.pair;
    b.settle();
    for (let i = 0; i < b.accepted.length; ) {
      const id = b.accepted[i];
      const slot = (b.flow(id) as unknown as { listener: number }).listener - 1;
      if (!this.#slots.has(slot)) {
        i++;
        continue;
      }
      b.accepted.splice(i, 1);
      b.took(slot);
      this.#ends.set(id, b.ends.get(id)!);
    }
    for (const [id, end] of this.#ends) {
      if (end.readable) end.read(this.into);
      const over = (b.events.get(id) ?? 0) & (StreamEvent.HUP | StreamEvent.ERR);
      if (rng.chance(0.1)) end.write(this.into.subarray(0, rng.pick([1, 100, 5000])));
      if (rng.chance(0.02)) end.request(StreamRequest.SHUTDOWN);
      if (!rng.chance(over ? 0.2 : 0.005)) continue;
      end.request(rng.chance(0.8) ? StreamRequest.CLOSE : StreamRequest.ABORT);
      end.release();
      b.events.delete(id);
      this.#ends.delete(id);
    }
    b.settle();
  }

  /** Lets go of all. */
  close(): void {
    const { b } = this.scene.pair;
    for (const end of this.#ends.values()) {
      end.request(StreamRequest.ABORT);
      end.release();
    }
    this.#ends.clear();
    b.settle();
  }
}
