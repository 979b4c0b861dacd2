/**
 * A sweep in virtual time: loss × reordering × round trip × buffer × congestion control, a transfer each, over one wire
 * whose settings change. What holds everywhere is checked at every step; what came out is a table.
 *
 * `tsx tests/tcp/sweep/sweep.ts [bytes]` prints the larger one.
 */
import { fileURLToPath } from 'node:url';
import type { LinkView } from '../../../host/layout/layout.gen.js';
import type { ModelEnd } from '../../../host/nic/index.js';
import { OptionFlag } from '../options.js';
import { PAIR_FRAMES, Pair, type Side } from '../pair.js';
import { FlowWatch } from '../watch.js';

const FRAME = 1514;
const RATE = 100_000_000;
export const ALGORITHMS = ['reno', 'cubic', 'dctcp', 'dctcp_rate', 'timely', 'bbr'] as const;
const OPEN = 1; // TCP_CA_DISORDER and below: nothing is being recovered

export interface Grid {
  rttUs: readonly number[];
  /** Packets that wait for the wire. */
  buffer: readonly number[];
  loss: readonly number[];
  reorder: readonly number[];
  bytes: number;
}

/** Budget of CI. */
export const SMALL: Grid = {
  rttUs: [1, 100, 1000, 10_000, 50_000],
  buffer: [20, 200],
  loss: [0, 0.001, 0.01, 0.05],
  reorder: [0, 0.02],
  bytes: 200_000,
};

const LARGE: Grid = {
  rttUs: [1, 10, 50, 100, 500, 1000, 5000, 10_000, 50_000],
  buffer: [5, 20, 50, 200, 1000],
  loss: [0, 0.0001, 0.001, 0.01, 0.05, 0.1],
  reorder: [0, 0.01, 0.05, 0.2],
  bytes: 2_000_000,
};

export interface Wire {
  rttUs: number;
  buffer: number;
  loss: number;
  reorder: number;
}

function shape(link: LinkView, w: Wire): void {
  const chance = (p: number): number => Math.round(p * 2 ** 32);
  Object.assign(link, {
    rate: BigInt(RATE),
    delayNs: BigInt(w.rttUs * 500),
    loss: chance(w.loss),
    reorder: chance(w.reorder),
    queueBytes: w.buffer * FRAME,
    // Marks at half of it, as far as they go.
    ecnBytes: Math.min(w.buffer / 2, 65) * FRAME,
    // The same draws for each, whatever came before.
    random: 0x5eed_5eed_5eedn,
  });
}

/** What holds at any step. @throws Error when it does not */
class Laws {
  #nxt = 0;
  #edge = 0;

  constructor(
    readonly watch: FlowWatch,
    readonly id: number,
  ) {}

  check(): void {
    const { watch, id } = this;
    const una = watch.u32(id, 'snd_una');
    const nxt = watch.u32(id, 'snd_nxt');
    const edge = (una + watch.u32(id, 'snd_wnd')) >>> 0;
    if (watch.u8(id, 'state') !== 1) {
      this.#nxt = nxt;
      this.#edge = edge;
      return;
    }
    // The peer's window does not shrink: what it once let go may go.
    if (((edge - this.#edge) | 0) > 0) this.#edge = edge;
    const over = (nxt - this.#edge) | 0;
    if (over > 1) throw new Error(`${over} bytes beyond the peer's window`);
    const moved = nxt !== this.#nxt;
    this.#nxt = nxt;
    if (!moved || watch.u8(id, 'ca') > OPEN) return;
    const board = this.#board();
    const flight = ((nxt - una) >>> 0) - board.sacked - board.lost;
    const cwnd = watch.u32(id, 'cc.cwnd');
    // A tail loss probe may go beyond it.
    if (flight > cwnd + watch.u32(id, 'mss'))
      throw new Error(`${flight} bytes in flight with a window of ${cwnd}`);
  }

  #board(): { sacked: number; lost: number } {
    const map = this.watch.host.map('tcp_boards');
    const { u32 } = this.watch.host.engine.arena;
    const at = (map.dataAt! + this.id * map.stride!) >> 2;
    return { sacked: u32[at + 3], lost: u32[at + 4] };
  }
}

export interface Cell {
  /** Goodput, Mbit/s. */
  mbits: number;
  /** Segments sent again. */
  resent: number;
}

export class Sweep {
  #resent = 0;

  private constructor(
    readonly pair: Pair,
    readonly links: readonly LinkView[],
  ) {}

  static async create(): Promise<Sweep> {
    const pair = await Pair.create({ delayNs: 1, rate: RATE, queueBytes: FRAME });
    return new Sweep(
      pair,
      (pair.engine.nics as ModelEnd[]).flatMap(n => n.links),
    );
  }

  /** A transfer over such a wire. @throws Error when a byte is wrong, or a law is broken */
  run(w: Wire, algorithm: number, bytes: number): Cell {
    for (const link of this.links) shape(link, w);
    const watch = new FlowWatch(this.pair.a);
    const what = `${ALGORITHMS[algorithm]} ${JSON.stringify(w)}`;
    let laws: Laws | undefined;
    const each = (client: Side): void => {
      laws ??= new Laws(watch, client.end.id);
      try {
        if (!client.end.released) laws.check();
      } catch (error) {
        throw new Error(`${what}: ${(error as Error).message}`);
      }
    };
    const options = { algorithm, flags: OptionFlag.ECN };
    const { shas, ms } = this.pair.transfer({
      forth: bytes,
      client: options,
      server: { algorithm },
      first: 'client',
      each,
    });
    if (shas[0] !== shas[1]) throw new Error(`${what}: other bytes arrived than were sent`);
    const resent = this.pair.a.counters().RetransSegs ?? 0;
    const cell = { mbits: (bytes * 8) / ms / 1000, resent: resent - this.#resent };
    this.#resent = resent;
    const { TCPRcvQDrop = 0, InErrs = 0 } = this.pair.b.counters();
    if (TCPRcvQDrop || InErrs)
      throw new Error(`${what}: ${TCPRcvQDrop} segments found no room, ${InErrs} were bad`);
    return cell;
  }

  async close(): Promise<void> {
    // The last ACKs arrive.
    this.pair.run(() => false, 1000);
    const { ledger } = await this.pair.engine.stop();
    if (ledger.free !== PAIR_FRAMES) throw new Error(`${PAIR_FRAMES - ledger.free} frames are missing`);
  }
}

const percent = (p: number): string => `${p * 100} %`;
const time = (us: number): string => (us < 1000 ? `${us} µs` : `${us / 1000} ms`);

/** The whole grid as text: Mbit/s and segments sent again, a column for each algorithm. */
export async function table(grid: Grid): Promise<string> {
  const sweep = await Sweep.create();
  const lines = [
    ['RTT', 'buffer', 'loss', 'reorder', ...ALGORITHMS].join(' | '),
    Array(4 + ALGORITHMS.length)
      .fill('---')
      .join(' | '),
  ];
  for (const rttUs of grid.rttUs)
    for (const buffer of grid.buffer)
      for (const loss of grid.loss)
        for (const reorder of grid.reorder) {
          const cells = ALGORITHMS.map((_, algorithm) => {
            const { mbits, resent } = sweep.run({ rttUs, buffer, loss, reorder }, algorithm, grid.bytes);
            return `${mbits.toPrecision(3)} ${resent}`;
          });
          lines.push([time(rttUs), buffer, percent(loss), percent(reorder), ...cells].join(' | '));
        }
  await sweep.close();
  return lines.map(l => `| ${l} |\n`).join('');
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.stdout.write(await table({ ...LARGE, bytes: Number(process.argv[2] ?? LARGE.bytes) }));
