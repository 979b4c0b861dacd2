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

export function numbersOf(host: TcpEngine, id: number): Numbers {
  const f = host.flow(id) as unknown as Record<string, number>;
  return {
    next: f.rcv_nxt,
    wup: f.rcv_wup,
    adv: f.rcv_adv,
    una: f.snd_una,
    sent: f.snd_nxt,
    wide: Math.max(f.max_wnd, f.mss),
    ts: f.ts_recent,
    stamps: (f.flags & 1) !== 0,
    state: f.state,
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
