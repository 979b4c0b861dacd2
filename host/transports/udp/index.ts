/** UDP as a transport of a stack: `Stack.create({ engine, ports, datagrams: udp() })`. */
import { fileURLToPath } from 'node:url';
import { datagramTransport, type SocketsOptions, socketsSettings } from '../datagrams/index.js';
import type { DatagramTransport } from '../datagrams.js';

export const UDP_OBJECT = fileURLToPath(new URL('../../../bpf-progs/obj/udp.bpf.o', import.meta.url));

/** Counters that tell that something is wrong with the programs, or with the network: udp_count. */
const ERRORS = ['InErrors', 'InCsumErrors', 'SndbufErrors', 'NoPorts', 'OutTooLong', 'OutNoRoutes'];

export type UdpOptions = SocketsOptions;

/** UDP with these settings. @throws EtherloomError ERR_UDP_OPTIONS */
export function udp(options: UdpOptions = {}): DatagramTransport {
  const settings = socketsSettings(options, 'ERR_UDP_OPTIONS');
  const what = { name: 'udp', protocol: 17, headerBytes: 8, object: UDP_OBJECT, errors: ERRORS };
  return datagramTransport({ ...what, ...settings });
}
