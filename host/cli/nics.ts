/** From what `--nic` says (nic_spec.ts) to the NIC: for every command that opens one. */
import { EtherloomError } from '../errors.js';
import { afXdp, type RedirectRule } from '../nic/af_xdp/index.js';
import { type Nic, PcapNic, tap, tun } from '../nic/index.js';
import type { NicSpec } from './nic_spec.js';

export interface NicExtras {
  /** What an af_xdp NIC takes from the kernel, where the spec does not say `own=yes`. */
  rules?: readonly RedirectRule[];
}

/** @throws EtherloomError ERR_USAGE_NIC for a kind that the command cannot use, ERR_NIC_* */
export function makeNic(spec: NicSpec, extras: NicExtras = {}): Nic {
  const queues = spec.queues === undefined ? {} : { queues: spec.queues };
  switch (spec.kind) {
    case 'af_xdp':
      return afXdp({
        interface: spec.interface,
        ...(spec.own ? { own: true } : { rules: extras.rules ?? [] }),
        ...queues,
        ...(spec.attach === undefined ? {} : { mode: spec.attach }),
      });
    case 'tap':
    case 'tun':
      return (spec.kind === 'tap' ? tap : tun)({
        ...(spec.fds ? { fd: spec.fds } : { name: spec.interface! }),
        ...queues,
        ...(spec.mtu === undefined ? {} : { mtu: spec.mtu }),
      });
    case 'pcap':
      return new PcapNic({
        in: spec.file,
        ...queues,
        ...(spec.speed === undefined ? {} : { speed: spec.speed }),
        ...(spec.rounds === undefined ? {} : { rounds: spec.rounds }),
        ...(spec.out === undefined ? {} : { out: spec.out }),
      });
    case 'model':
      throw new EtherloomError('ERR_USAGE_NIC', `${spec.text}: nobody is at its far end here`, {
        expected: 'af_xdp:IFACE, tap:NAME, tun:NAME or pcap:FILE',
      });
  }
}
