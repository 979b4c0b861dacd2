/** Whom an address means, and who is not to be sent to. */
import { isIP } from 'node:net';
import { SocketError } from '../../transports/errno.js';
import { Peer } from '../burst/datagram.js';
import { systemError } from '../sockets/errors.js';
import { MAPPED } from './inbox.js';

/** IPv4 has an address in IPv6 for sockets of that. @throws EINVAL for an address of the other family */
export function peerOf(family: 4 | 6, ip: string, port: number, syscall: string): Peer {
  const mapped = family === 6 && ip.toLowerCase().startsWith(MAPPED) ? ip.slice(MAPPED.length) : ip;
  if (isIP(ip) !== family) throw systemError(syscall, 'EINVAL', { address: ip, port });
  return new Peer(isIP(mapped) ? mapped : ip, port);
}

/** There is no broadcast and no multicast. @throws SocketError EACCES, ENETUNREACH */
export function refuseMany({ family, w0 }: Peer, broadcastAllowed: boolean): void {
  const isBroadcast = family === 4 && w0 === 0xffffffff;
  const isMulticast = family === 4 ? (w0 & 0xf0) === 0xe0 : (w0 & 0xff) === 0xff;
  if (isBroadcast && !broadcastAllowed) throw new SocketError('EACCES', 'EACCES');
  if (isBroadcast || isMulticast) throw new SocketError('ENETUNREACH', 'ENETUNREACH');
}
