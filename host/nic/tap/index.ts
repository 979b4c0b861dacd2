/** Virtual interfaces: TAP (Ethernet frames) and TUN (IP packets). */
export type { TapKind } from './open.js';
export { getIndex } from './request.js';
export type { TapStats } from './stats.js';
export { MAX_MTU, TapNic, type TapOptions, tap, tun } from './tap_nic.js';
