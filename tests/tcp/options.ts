/** `struct tcp_options` as tests write it, and what a script's setup is in it. */
import { CcAlgorithm } from '../../host/layout/layout.gen.js';
import { OPTION_FLAG as OptionFlag } from '../../host/transports/tcp/options.js';
import type { Setup } from '../conformance/tcp/driver.js';

export { OptionFlag };

/** `struct tcp_options`; what is not there is 0. */
export interface TcpOptions {
  flags: number;
  algorithm: number;
  sndBytes: number;
  rcvBytes: number;
  mss: number;
  rate: number;
  userTimeoutMs: number;
  keepIdleMs: number;
  keepIntervalMs: number;
  minRtoUs: number;
  delackUs: number;
  finTimeoutMs: number;
  keepProbes: number;
  synRetries: number;
  synackRetries: number;
  retries: number;
  tos: number;
  ttl: number;
  initialCwnd: number;
}

/** Options whose bits are known. */
export type SetOptions = Partial<TcpOptions> & Pick<TcpOptions, 'flags'>;

/** How a script's setup is said to our TCP. */
export function optionsOf(s: Setup): SetOptions {
  let flags = 0;
  const flag = (on: boolean, bit: number): void => {
    if (on) flags |= bit;
  };
  flag(s.ecn === 'on', OptionFlag.ECN);
  flag((s.ecn ?? 'off') === 'off', OptionFlag.NO_ECN);
  flag(s.timestamps === false, OptionFlag.NO_TIMESTAMPS);
  flag(s.windowScaling === false, OptionFlag.NO_WSCALE);
  flag(s.sack === false, OptionFlag.NO_SACK);
  flag(s.dsack === false, OptionFlag.NO_DSACK);
  flag(!s.tlp, OptionFlag.NO_TLP);
  flag(!s.frto, OptionFlag.NO_FRTO);
  flag(s.synCookies === 'always', OptionFlag.COOKIES);
  flag((s.synCookies ?? 'never') === 'never', OptionFlag.NO_COOKIES);
  flag(s.mtuProbing === true, OptionFlag.PROBE_MTU);
  flag(!s.ackLimit, OptionFlag.NO_ACK_LIMIT);
  return {
    flags,
    algorithm: s.congestion === 'cubic' ? CcAlgorithm.CUBIC : CcAlgorithm.RENO,
    minRtoUs: (s.rtoMinMs ?? 1000) * 1000,
    synRetries: s.synRetries ?? 0,
    synackRetries: s.synAckRetries ?? 0,
    retries: s.retries ?? 0,
    finTimeoutMs: s.finTimeoutMs ?? 0,
    // Scripts send and write much at once: rings that are there whole from the start.
    rcvBytes: s.receiveBuffer ?? 262_144,
    sndBytes: s.sendBuffer ?? 262_144,
    initialCwnd: s.initialCwnd ?? 0,
  };
}
