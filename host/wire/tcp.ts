/** TCP, RFC 9293 §3.1. Picture: assembly/wire/tcp.ts. */
import { checksumOk } from './checksum.js';
import { broken, type Dissected, type Problem, type Span } from './layer.js';
import { Tcp, TcpFlag, TcpOption } from './layout.gen.js';

/** tcpdump's letters. */
const LETTERS: [flag: number, letter: string][] = [
  [TcpFlag.FIN, 'F'],
  [TcpFlag.SYN, 'S'],
  [TcpFlag.RST, 'R'],
  [TcpFlag.PSH, 'P'],
  [TcpFlag.ACK, '.'],
  [TcpFlag.URG, 'U'],
  [TcpFlag.ECE, 'E'],
  [TcpFlag.CWR, 'W'],
];

/** An option where it stands: `at` is the offset of its kind in the header, `bytes` counts kind and length. */
export interface TcpOptionAt {
  kind: number;
  at: number;
  bytes: number;
}

/** The options of a header of `header` bytes, paddings and END included, up to the first that is damaged. */
export function tcpOptions(s: Span, header: number): { options: TcpOptionAt[]; problem?: Problem } {
  const options: TcpOptionAt[] = [];
  for (let at: number = Tcp.size; at < header; ) {
    const kind = s.u8(at);
    const single = kind === TcpOption.END || kind === TcpOption.NOP;
    const bytes = single ? 1 : at + 2 > header ? 0 : s.u8(at + 1);
    if (!single && (bytes < 2 || at + bytes > header)) return { options, problem: 'BAD_OPTION' };
    options.push({ kind, at, bytes });
    if (kind === TcpOption.END) break;
    at += bytes;
  }
  return { options };
}

function optionText(s: Span, { kind, at, bytes }: TcpOptionAt): string {
  if (kind === TcpOption.END) return 'eol';
  if (kind === TcpOption.NOP) return 'nop';
  if (kind === TcpOption.MSS && bytes === 4) return `mss ${s.u16(at + 2)}`;
  if (kind === TcpOption.WSCALE && bytes === 3) return `wscale ${s.u8(at + 2)}`;
  if (kind === TcpOption.SACK_PERMITTED && bytes === 2) return 'sackOK';
  if (kind === TcpOption.TIMESTAMP && bytes === 10) return `TS val ${s.u32(at + 2)} ecr ${s.u32(at + 6)}`;
  if (kind === TcpOption.SACK && bytes % 8 === 2) {
    const blocks = Array.from(
      { length: (bytes - 2) / 8 },
      (_, i) => `{${s.u32(at + 2 + i * 8)}:${s.u32(at + 6 + i * 8)}}`,
    );
    return `sack ${blocks.length} ${blocks.join('')}`;
  }
  if (kind === TcpOption.MPTCP) return `mptcp ${bytes} bytes`;
  return `option ${kind} ${bytes} bytes`;
}

/** `pseudo` is undefined for a fragment: then the checksum cannot be told. */
export function dissectTcp(s: Span, pseudo: number | undefined): Dissected {
  if (s.length < Tcp.size) return broken('tcp', s, 'TRUNCATED');
  const header = (s.u8(Tcp.dataOffset) >> 4) * 4;
  const flags = s.u8(Tcp.flags);
  const fields = {
    srcPort: s.u16(Tcp.srcPort),
    dstPort: s.u16(Tcp.dstPort),
    seq: s.u32(Tcp.seq),
    ack: s.u32(Tcp.ack),
    flags,
    window: s.u16(Tcp.window),
    header,
    length: s.length - header,
  };
  if (header < Tcp.size) return broken('tcp', s, 'BAD_HEADER_LENGTH', fields);
  if (header > s.length) return broken('tcp', s, 'TRUNCATED', fields);
  const opts = tcpOptions(s, header);
  if (opts.problem) return broken('tcp', s, opts.problem, fields);
  const ok = pseudo === undefined || checksumOk(s, pseudo);
  const letters = LETTERS.map(([flag, letter]) => (flags & flag ? letter : '')).join('') || 'none';
  const { length, seq } = fields;
  const text = [
    `${fields.srcPort} > ${fields.dstPort}`,
    `Flags [${letters}]`,
    length ? `seq ${seq}:${(seq + length) >>> 0}` : `seq ${seq}`,
    ...(flags & TcpFlag.ACK ? [`ack ${fields.ack}`] : []),
    `win ${fields.window}`,
    ...(flags & TcpFlag.URG ? [`urg ${s.u16(Tcp.urgent)}`] : []),
    ...(opts.options.length ? [`options [${opts.options.map(o => optionText(s, o)).join(',')}]`] : []),
    `length ${length}`,
    ...(ok ? [] : ['bad checksum']),
  ].join(', ');
  return { layer: { name: 'tcp', at: s.at, fields: { ...fields, checksumOk: ok }, text } };
}
