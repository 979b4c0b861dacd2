/** AF_XDP: interfaces of the kernel whose rings lie in the arena. */
export {
  AfXdpNic,
  type AfXdpOptions,
  type AfXdpStatus,
  afXdp,
  MAX_MTU as AF_XDP_MAX_MTU,
} from './af_xdp_nic.js';
export type { Seen } from './program.js';
export { MAX_RULES, type RedirectRule } from './rules.js';
export type { SocketStats } from './socket.js';
