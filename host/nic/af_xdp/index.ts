/** AF_XDP: interfaces of the kernel whose rings lie in the arena. */
export { AfXdpNic, afXdp } from './af_xdp_nic.js';
export type { AfXdpOptions, AfXdpStatus } from './options.js';
export type { Seen } from './program.js';
export { MAX_RULES, type RedirectRule } from './rules.js';
export type { SocketStats } from './socket.js';
export { MAX_MTU as AF_XDP_MAX_MTU } from './traps.js';
