/** Segments as transcripts and failures show them: `:40000 SYN ACK seq 0 ack 1 win 64240 <mss 1460, sackOk>`. */
import type { Out, Seen } from './flow.js';
import type { Options } from './segment.js';
import { wantText } from './want.js';

function optionText(o: Options): string {
  const words = [
    ...(o.mss === undefined ? [] : [`mss ${o.mss}`]),
    ...(o.sackOk ? ['sackOk'] : []),
    ...(o.ts ? [`ts ${o.ts.join(':')}`] : []),
    ...(o.wscale === undefined ? [] : [`wscale ${o.wscale}`]),
    ...(o.sack ? [`sack ${o.sack.map(b => b.join(':')).join(' ')}`] : []),
    ...(o.raw ? [`bytes ${o.raw.join(' ')}`] : []),
  ];
  return words.length ? `<${words.join(', ')}>` : '';
}

/** A segment that the script sends, from its port `port`. */
export const outText = (port: number, flags: string, o: Out, options: Options): string =>
  [
    `:${port}`,
    flags || 'no flags',
    `seq ${o.seq}`,
    ...(flags.includes('ACK') ? [`ack ${o.ack}`] : []),
    ...(o.len ? [`len ${o.len}`] : []),
    `win ${o.win}`,
    ...(o.urg ? [`urg ${o.urg}`] : []),
    ...(o.ecn ? [`ecn ${o.ecn}`] : []),
    optionText(options),
  ]
    .join(' ')
    .trimEnd();

/** A segment that came, to the script's port `port`. */
export const seenText = (port: number, s: Seen): string =>
  [
    `:${port}`,
    s.flags + (s.psh ? ' PSH' : ''),
    `seq ${s.seq}`,
    ...(s.ack === undefined ? [] : [`ack ${s.ack}`]),
    ...(s.len ? [`len ${s.len}`] : []),
    `win ${s.win}`,
    ...(s.urg === undefined ? [] : [`urg ${s.urg}`]),
    ...(s.ecn ? [`ecn ${s.ecn}`] : []),
    optionText({
      mss: s.mss,
      sackOk: s.sackOk,
      ts: s.tsVal === undefined ? undefined : [s.tsVal, s.tsEcr!],
      wscale: s.wscale,
      sack: s.sack,
    }),
  ]
    .join(' ')
    .trimEnd();

/** A segment that a script waits for. */
export const wantedText = (flags: string, want: Record<string, unknown>): string =>
  [flags, ...Object.entries(want).map(([k, v]) => `${k} ${wantText(v)}`)].join(' ');
