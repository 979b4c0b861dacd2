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

function optionText(s: Span, kind: number, at: number, bytes: number): string {
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

function options(s: Span, header: number): { words: string[]; problem?: Problem } {
  const words: string[] = [];
  for (let at: number = Tcp.size; at < header; ) {
    const kind = s.u8(at);
    if (kind === TcpOption.END) {
      words.push('eol');
      break;
    }
    if (kind === TcpOption.NOP) {
      words.push('nop');
      at++;
      continue;
    }
    const bytes = at + 2 > header ? 0 : s.u8(at + 1);
    if (bytes < 2 || at + bytes > header) return { words, problem: 'BAD_OPTION' };
    words.push(optionText(s, kind, at, bytes));
    at += bytes;
  }
  return { words };
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
  const opts = options(s, header);
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
    ...(opts.words.length ? [`options [${opts.words.join(',')}]`] : []),
    `length ${length}`,
    ...(ok ? [] : ['bad checksum']),
  ].join(', ');
  return { layer: { name: 'tcp', at: s.at, fields: { ...fields, checksumOk: ok }, text } };
}
