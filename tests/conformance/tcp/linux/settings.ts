/** How a script's setup is said to Linux: sysctls below net.ipv4 and attributes of the route to the script. */
import type { Setup } from '../driver.js';

const flag = (on: boolean | undefined, otherwise: boolean): number => ((on ?? otherwise) ? 1 : 0);

/** Linux counts skb overhead against a buffer; tcp_adv_win_scale 1 lets half of it be window. */
const ROOM = 2;

export function sysctls(s: Setup): Record<string, string | number> {
  return {
    tcp_ecn: { off: 0, passive: 2, on: 1 }[s.ecn ?? 'off'],
    tcp_timestamps: flag(s.timestamps, true),
    tcp_window_scaling: flag(s.windowScaling, true),
    tcp_sack: flag(s.sack, true),
    tcp_dsack: flag(s.dsack, true),
    tcp_rto_min_us: (s.rtoMinMs ?? 1000) * 1000,
    tcp_early_retrans: s.tlp ? 3 : 0,
    tcp_frto: s.frto ? 2 : 0,
    tcp_syncookies: { never: 0, overflow: 1, always: 2 }[s.synCookies ?? 'never'],
    tcp_mtu_probing: s.mtuProbing ? 2 : 0,
    tcp_invalid_ratelimit: s.ackLimit ? 500 : 0,
    // RFC 6298 §5.5 backs off from the first retransmission on.
    tcp_syn_linear_timeouts: 0,
    ...(s.synRetries === undefined ? {} : { tcp_syn_retries: s.synRetries }),
    ...(s.synAckRetries === undefined ? {} : { tcp_synack_retries: s.synAckRetries }),
    ...(s.retries === undefined ? {} : { tcp_retries2: s.retries, tcp_orphan_retries: s.retries }),
    ...(s.finTimeoutMs === undefined ? {} : { tcp_fin_timeout: Math.ceil(s.finTimeoutMs / 1000) }),
    ...(s.receiveBuffer === undefined
      ? {}
      : { tcp_rmem: `4096 ${s.receiveBuffer * ROOM} ${s.receiveBuffer * ROOM}`, tcp_moderate_rcvbuf: 0 }),
    ...(s.sendBuffer === undefined ? {} : { tcp_wmem: `4096 ${s.sendBuffer} ${s.sendBuffer}` }),
    // What a script wrote goes out at once, alike on an idle and on a busy machine; nothing is learned from it.
    tcp_autocorking: 0,
    tcp_tso_win_divisor: 64,
    tcp_no_metrics_save: 1,
    tcp_fastopen: 0,
    ...s.sysctl,
  };
}

/** Empty when the route needs to say nothing. */
export const route = (s: Setup): string =>
  [
    ...(s.mtu === undefined ? [] : [`mtu ${s.mtu}`]),
    ...(s.initialCwnd === undefined ? [] : [`initcwnd ${s.initialCwnd}`]),
  ].join(' ');
