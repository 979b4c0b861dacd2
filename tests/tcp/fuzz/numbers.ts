/** The numbers of a connection as the host has them: what the best guesses, and the worst attacks, are made of. */
import type { TcpEngine } from '../engine.js';

export interface Numbers {
  /** The host's RCV.NXT, last acknowledgment, right edge of its window; SND.UNA, SND.NXT, and the widest window it knew. */
  next: number;
  wup: number;
  adv: number;
  una: number;
  sent: number;
  wide: number;
  /** TS.Recent, and whether timestamps were agreed on. */
  ts: number;
  stamps: boolean;
  state: number;
}

export const NOTHING: Numbers = {
  ...{ next: 1, wup: 1, adv: 65536, una: 1, sent: 1, wide: 65535, ts: 1, stamps: true, state: 0 },
};

const WORDS = [
  'rcv_nxt',
  'rcv_wup',
  'rcv_adv',
  'snd_una',
  'snd_nxt',
  'max_wnd',
  'mss',
  'ts_recent',
  'flags',
] as const;
const STATE = 4;

/** Where words of a flow lie. By the object's BTF, which is asked once: every word of a flow that is nobody's is its place. */
export function wordsOf(host: TcpEngine): Record<(typeof WORDS)[number], number> {
  const flows = host.map('tcp_flows');
  const empty = flows.getBytes(0)!.slice();
  flows.set(
    0,
    Uint8Array.from(new Uint8Array(Uint32Array.from({ length: empty.length / 4 }, (_, i) => i * 4).buffer)),
  );
  const places = flows.get(0) as Record<string, number>;
  flows.set(0, empty);
  return Object.fromEntries(WORDS.map(name => [name, places[name]])) as Record<
    (typeof WORDS)[number],
    number
  >;
}

export function numbersOf(host: TcpEngine, id: number, at: ReturnType<typeof wordsOf>): Numbers {
  const bytes = host.map('tcp_flows').getBytes(id)!;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const word = (offset: number): number => view.getUint32(offset, true);
  return {
    next: word(at.rcv_nxt),
    wup: word(at.rcv_wup),
    adv: word(at.rcv_adv),
    una: word(at.snd_una),
    sent: word(at.snd_nxt),
    wide: Math.max(word(at.max_wnd), word(at.mss)),
    ts: word(at.ts_recent),
    stamps: (word(at.flags) & 1) !== 0,
    state: bytes[STATE],
  };
}

/** What must hold of a flow and its scoreboard, whatever came. Returns what does not. */
export function broken(host: TcpEngine, id: number): string | undefined {
  const f = host.flow(id) as unknown as Record<string, number> & { ooo: { count: number } };
  const b = host.map('tcp_boards').get(id) as unknown as Record<string, number>;
  const flight = (f.snd_nxt - f.snd_una) >>> 0;
  if (flight > 0x4000_0000) return `SND.NXT ${f.snd_nxt} before SND.UNA ${f.snd_una}`;
  if (b.count > 64) return `${b.count} pieces in flight`;
  if (f.state !== 7 && f.state > 0 && b.sacked + b.lost + b.resent > flight)
    return `${b.sacked} sacked, ${b.lost} lost, ${b.resent} sent again of ${flight} bytes in flight`;
  if (f.ooo.count > 32) return `${f.ooo.count} pieces beyond a hole`;
  // A zero window is an edge at RCV.NXT; data may fill what was offered, and a FIN stands behind it.
  if (f.state === 1 && ((f.rcv_adv - f.rcv_nxt) | 0) < -1) return `the window ends before ${f.rcv_nxt}`;
  if (f.mss < 36 || f.mss > 9000) return `segments of ${f.mss}`;
  return undefined;
}
