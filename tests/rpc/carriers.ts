/** The carriers that the tests of this folder are made with, and what of the contract each leaves open. */
import { homa } from '../../host/transports/homa/index.js';
import { windowTransport } from '../own/rig.js';
import type { WorldOptions } from './rig.js';

export interface CarrierUnderTest {
  name: string;
  /** Of worlds that tests share, */
  options: Partial<WorldOptions>;
  /** and of one that has this carrier alone. */
  alone: Partial<WorldOptions>;
  /** The server is told at once of a call that was given up. */
  tellsCancel: boolean;
  /** What the caller hears of a response that breaks off, where nobody serves, and where nobody does any more. */
  brokenOff: string;
  refused: string;
  closed: string;
}

export const CARRIERS: CarrierUnderTest[] = [
  {
    ...{ name: 'tcp', options: { shared: true }, alone: {}, tellsCancel: true },
    ...{ brokenOff: 'ERR_RPC_REMOTE', refused: 'ECONNREFUSED', closed: 'ECONNRESET' },
  },
  {
    ...{ name: 'homa', options: { shared: true }, tellsCancel: false },
    alone: { stack: () => ({ messages: homa() }) },
    ...{ brokenOff: 'ECONNRESET', refused: 'ECONNREFUSED', closed: 'ECONNRESET' },
  },
  {
    ...{ name: 'window', options: { shared: true }, tellsCancel: true },
    alone: { load: () => windowTransport() },
    ...{ brokenOff: 'ERR_RPC_REMOTE', refused: 'ETIMEDOUT', closed: 'ETIMEDOUT' },
  },
];
