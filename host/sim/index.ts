/** Networks to simulate. */
export {
  Network,
  type NetworkHost,
  type NetworkOptions,
  type NetworkStats,
  SWITCH_OBJECT,
  type WireSettings,
} from './network.js';
export { type Hop, unloadedNs } from './path.js';
