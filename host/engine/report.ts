/** What an engine says at the end of a run. Plain data: it can be printed as JSON. */
import type { Ledger } from '../mem/frames.js';
import type { PortCounters } from './counters.js';

export interface LaneReport {
  lane: number;
  /** Packets taken from rings. */
  packets: number;
  /** Times it slept for want of work. */
  sleeps: number;
}

export interface SwapReport {
  /** Names of the programs. */
  from: string;
  to: string;
  /** How long each lane stood still to take the new program in, ns. */
  pausesNs: number[];
}

export interface LaneCrash {
  lane: number;
  /** threw: a program or the loop trapped. hung: no heartbeat. terminated: the thread was ended from outside. */
  how: 'threw' | 'hung' | 'terminated';
  /** Message of the error that ended it. */
  reason: string;
  /** Packets that it had in hand; dropped, their frames are free again. */
  packetsLost: number;
  /** How long the other lanes stood still, ms. */
  pausedMs: number;
  /** Whether a new lane took its place. */
  replaced: boolean;
}

export interface EngineReport {
  /** From start to stop, ms of real time. */
  ms: number;
  lanes: LaneReport[];
  ports: PortCounters[];
  crashes: LaneCrash[];
  swaps: SwapReport[];
  ledger: Ledger;
}
