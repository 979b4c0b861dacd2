/** The carriers that the tests of this folder are made with, and what of the contract each leaves open. */
import { homa } from '../../host/transports/homa/index.js';
import type { WorldOptions } from './rig.js';

export interface CarrierUnderTest {
  name: string;
  options: Partial<WorldOptions>;
  /** The server is told at once of a call that was given up. */
  tellsCancel: boolean;
  /** What the caller hears of a response that breaks off. */
  brokenOff: string;
}

export const CARRIERS: CarrierUnderTest[] = [
  { name: 'tcp', options: {}, tellsCancel: true, brokenOff: 'ERR_RPC_REMOTE' },
  {
    name: 'homa',
    options: { stack: () => ({ messages: homa() }) },
    tellsCancel: false,
    brokenOff: 'ECONNRESET',
  },
];
