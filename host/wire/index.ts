/** Packets as text. */
export { dissect, printLine, printNested } from './frame.js';
export type { Fields, Layer, Problem } from './layer.js';
export { hexDump, ipv4 as ipv4Text, ipv6 as ipv6Text, mac as macText } from './text.js';
