/** Names of what programs return, by program type (include/uapi/linux/{bpf,pkt_cls}.h). */
import type { ProgramType } from '../bpf/spec.js';

const XDP = ['XDP_ABORTED', 'XDP_DROP', 'XDP_PASS', 'XDP_TX', 'XDP_REDIRECT'];
const TC = [
  'TC_ACT_OK',
  'TC_ACT_RECLASSIFY',
  'TC_ACT_SHOT',
  'TC_ACT_PIPE',
  'TC_ACT_STOLEN',
  'TC_ACT_QUEUED',
  'TC_ACT_REPEAT',
  'TC_ACT_REDIRECT',
  'TC_ACT_TRAP',
];

/** "" when the number has no name; a socket filter returns how many bytes to keep. */
export function verdictName(type: ProgramType, retval: number): string {
  if (type === 'xdp') return XDP[retval] ?? '';
  if (type === 'tc') return retval === 0xffff_ffff ? 'TC_ACT_UNSPEC' : (TC[retval] ?? '');
  if (type === 'socket_filter') return retval === 0 ? 'drop' : 'keep';
  return '';
}
