/**
 * Where Homa is fuzzed: two hosts whose slots call each other. Victims' calls get everything that somebody can send who knows
 * all of them; the honest ones get all but what only their own peer could have sent, and must be answered unharmed.
 *
 *   host a ═══ model link ═══ host b        evil.a, evil.b: make(rng) ─▶ run(frame), to either host
 */
import { EtherloomError } from '../../../host/errors.js';
import { HostNic } from '../../../host/nic/index.js';
import { RecordTable } from '../../../host/transports/records.js';
import { Rng } from '../../support/fuzz.js';
import { pattern, sha } from '../../support/pattern.js';
import type { ClientSlot } from '../slots.js';
import { ADDRESS, backwards, PORT, World } from '../world.js';
import { forge, type Known, mend } from './forge.js';

const HONEST = 3;
const VICTIMS = 6;
/** Packets between two moves of time, and between two leaps of it. */
const MOVE = 16;
const LEAP = 4096;
const VICTIM_PORT = 100;
/** Thrown again and again. */
const SILENT = new EtherloomError('ERR_HOMA_SILENT', 'nothing was sent');

interface Honest {
  slot: ClientSlot;
  bytes: Uint8Array;
}

export class Field {
  static readonly maxBytes = 1700;
  /** Its own course of events, the same in every run. */
  readonly #rng = new Rng(0x40a);
  readonly #honest: Honest[] = [];
  #victims: ClientSlot[] = [];
  readonly #ids: RecordTable;
  #runs = 0;
  /** Calls of honest slots that were answered, and slots that found no room at the server. */
  answered = 0;
  refused = 0;

  private constructor(
    readonly w: World,
    readonly nics: readonly [HostNic, HostNic],
  ) {
    this.#ids = new RecordTable(w.engine.arena, (w.a.messages.shared as { rpcs: never }).rpcs);
    w.b.messages.serve({ app: w.b.app.number, port: VICTIM_PORT });
    for (let i = 0; i < HONEST; i++) this.#honest.push(this.#newHonest());
    for (let i = 0; i < VICTIMS; i++) this.#victims.push(this.#newVictim());
    this.#settle();
  }

  static async create(): Promise<Field> {
    const nics = [new HostNic({ name: 'evil.a' }), new HostNic({ name: 'evil.b' })] as const;
    return new Field(
      await World.create({
        ...{ outside: nics, streams: 128, streamBytes: 64 << 20, delayNs: 5000, rate: 10e9 },
        homa: { linkMbps: 10_000 },
        // Some of the victims' calls are under way for long.
        answer: m => (m.bytes[0] === 0xff ? undefined : backwards(m)),
      }),
      nics,
    );
  }

  #family(i: number): 4 | 6 {
    return i & 1 ? 6 : 4;
  }

  #newHonest(): Honest {
    const [slot] = this.w.open();
    return this.#call({ slot, bytes: new Uint8Array() });
  }

  #call(h: Honest): Honest {
    const rng = this.#rng;
    h.bytes = pattern(rng.chance(0.8) ? rng.below(3000) + 4 : rng.below(90_000) + 4, rng.u32());
    h.bytes[0] = 1;
    h.slot.call({ address: ADDRESS[this.#family(h.slot.end.id)][1], port: PORT }, h.bytes);
    return h;
  }

  #newVictim(): ClientSlot {
    const rng = this.#rng;
    const [slot] = this.w.open();
    const bytes = pattern(rng.chance(0.5) ? rng.below(3000) + 1 : rng.below(200_000) + 1, rng.u32());
    if (rng.chance(0.5)) bytes[0] = 0xff;
    slot.call({ address: ADDRESS[this.#family(slot.end.id)][1], port: VICTIM_PORT }, bytes);
    return slot;
  }

  #known(slot: ClientSlot): Known {
    const { id } = slot.end;
    const family = this.#family(id);
    return {
      id: this.w.engine.arena.dv.getBigUint64(this.#ids.at(id, 'id'), true),
      ...{ client: ADDRESS[family][0], server: ADDRESS[family][1] },
      ...{ clientPort: this.w.client.port, serverPort: VICTIM_PORT },
    };
  }

  make(rng: Rng): Uint8Array {
    const known = this.#known(rng.pick(this.#victims));
    if (rng.chance(0.2)) {
      // About a call of honest slots, but from elsewhere.
      const honest = this.#known(rng.pick(this.#honest).slot);
      Object.assign(known, honest, { serverPort: PORT });
      const evil = known.client.includes(':') ? 'fd00::66' : '10.0.0.66';
      const toServer = rng.chance(0.5);
      return forge(rng, { ...known, [toServer ? 'client' : 'server']: evil }, toServer);
    }
    return forge(rng, known, rng.chance(0.5));
  }

  /** Whether only the peer of an honest slot could have sent it: its address, and a number of that slot. */
  #isPeers(frame: Uint8Array): boolean {
    const v6 = frame[12] === 0x86;
    const header = v6 ? 54 : 14 + (frame[14] & 15) * 4;
    if (frame.length < header + 28) return false;
    const src = v6 ? frame[37] : frame[29];
    if (src !== 1 && src !== 2) return false;
    const id = new DataView(frame.buffer, frame.byteOffset).getBigUint64(header + 20);
    const slots = this.#honest.map(h => h.slot.end.id);
    // ACKs name others than their own.
    for (let at = header + 30; at + 10 <= frame.length && at < header + 80; at += 10)
      if (
        slots.includes(
          Number((new DataView(frame.buffer, frame.byteOffset).getBigUint64(at) >> 1n) & 0xffffffn),
        )
      )
        return true;
    return slots.includes(Number((id >> 1n) & 0xffffffn));
  }

  run(frame: Uint8Array): void {
    if (frame.length < 14 || this.#isPeers(frame)) throw SILENT;
    mend(frame);
    const i = frame[frame[12] === 0x86 ? 53 : 33] === 1 ? 0 : 1;
    if (!this.nics[i].send(frame)) throw SILENT;
    this.#settle();
    this.#runs++;
    if (this.#runs % MOVE === 0) this.#pass(this.#rng.below(400) / 100);
    if (this.#runs % LEAP === 0) this.#pass(6000);
    const sent = this.nics.reduce((n, nic) => n + nic.drain(Number.MAX_SAFE_INTEGER, () => {}), 0);
    if (sent === 0) throw SILENT;
  }

  #pass(ms: number): void {
    this.w.run(() => false, ms);
    this.#look();
  }

  #settle(): void {
    this.w.run(() => false, 0);
    this.#look();
  }

  #look(): void {
    for (const [i, h] of this.#honest.entries()) {
      const { slot, bytes } = h;
      if (slot.failed) {
        const { NoStreams = 0, NoMemory = 0 } = this.w.counters[1];
        const why = this.w.a.view.error(slot.end.id);
        if (NoStreams + NoMemory === 0)
          throw new Error(`an honest call failed: ${why}, ${JSON.stringify(this.w.counters)}`);
        this.refused++;
        this.#honest[i] = this.#newHonest();
      } else if (slot.open === 0) {
        const answer = slot.answers.pop()!;
        if (sha(answer.bytes) !== sha(backwards({ bytes })))
          throw new Error(`${bytes.length} bytes were answered by ${answer.bytes.length} others`);
        // Numbers of calls and answers stay as they were.
        slot.answers.push({ ...answer, bytes: new Uint8Array() });
        this.answered++;
        this.#call(h);
      }
    }
    for (const [i, v] of this.#victims.entries()) {
      if (!v.failed && v.open > 0) continue;
      if (!v.failed) {
        v.end.request(8 /* ABORT */);
        v.end.release();
      }
      this.w.slots.splice(this.w.slots.indexOf(v), 1);
      this.#victims[i] = this.#newVictim();
    }
  }

  async end(): Promise<void> {
    await this.w.close();
  }
}
