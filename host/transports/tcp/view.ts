/**
 * How TCP's connections stand, read from the maps where they lie in the arena: from any thread, asking nobody. Where each
 * field is comes from the object's BTF, as plain data that another thread can be told.
 *
 *   tcp_flows    the lane's: state, errno, addresses, figures         read only
 *   tcp_control  the application's: options                           written, then StreamRequest.OPTIONS
 *   tcp_backlogs lanes count connections up, who takes them counts `accepted`
 */
import type { Arena } from '../../mem/arena.js';
import { formatIp } from '../../wire/address.js';
import type { Endpoint, TransportView } from '../contract.js';
import { ERRNO, errnoName } from '../errno.js';
import { AF_INET6, lifeOf, type Records, RecordTable } from '../records.js';
import { applyOptions, type ConnectionOptions, checkCongestion, type OptionWords } from './options.js';

/** What a thread needs to look at connections. */
export interface TcpShared {
  flows: Records;
  control: Records;
  backlogs: Records;
}

/** enum tcp_state, as RFC 9293 spells them. */
const STATES = [
  'CLOSED',
  'ESTABLISHED',
  'SYN-SENT',
  'SYN-RECEIVED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'TIME-WAIT',
  'CLOSED',
  'CLOSE-WAIT',
  'LAST-ACK',
  'LISTEN',
  'CLOSING',
] as const;
const TCP_FREE = 0;
const TCP_FIN_WAIT2 = 5;
const TCP_TIME_WAIT = 6;
const TCP_CLOSE = 7;
/** States of one whose FIN was acknowledged, or that is over. */
const DELIVERED: ReadonlySet<number> = new Set([TCP_FREE, TCP_FIN_WAIT2, TCP_TIME_WAIT, TCP_CLOSE]);
/** enum tcp_flow_flag: counted among the handshakes under way of its listener. */
const FLOW_OPENING = 1 << 22;

/** Members of `struct tcp_options` that a connection's options are written to. */
const OPTION = 'opt.';
/** What `info` shows: name, field. */
const INFO = {
  rttUs: 'rtt.srtt',
  rttVarUs: 'rtt.rttvar',
  minRttUs: 'rtt.min_rtt',
  rtoUs: 'rtt.rto',
  cwnd: 'cc.cwnd',
  ssthresh: 'cc.ssthresh',
  rate: 'cc.rate',
  algorithm: 'cc.algorithm',
  mss: 'mss',
  mtu: 'mtu',
  sendWindow: 'snd_wnd',
  bytesAcked: 'bytes_acked',
  bytesReceived: 'bytes_received',
  segmentsIn: 'segs_in',
  segmentsOut: 'segs_out',
  retransmits: 'retransmits',
  lost: 'lost',
  lane: 'lane',
} as const;

export class TcpView implements TransportView<ConnectionOptions> {
  readonly #flows: RecordTable;
  readonly #control: RecordTable;
  readonly #backlogs: RecordTable;

  constructor(
    readonly arena: Arena,
    shared: TcpShared,
  ) {
    this.#flows = new RecordTable(arena, shared.flows);
    this.#control = new RecordTable(arena, shared.control);
    this.#backlogs = new RecordTable(arena, shared.backlogs);
  }

  over(id: number): boolean {
    const state = this.#flows.get(id, 'state');
    return state === TCP_CLOSE || state === TCP_FREE;
  }

  error(id: number): string | undefined {
    return errnoName(this.#flows.get(id, 'error'));
  }

  delivering(id: number): boolean {
    return !DELIVERED.has(this.#flows.get(id, 'state'));
  }

  state(id: number): string {
    return STATES[this.#flows.get(id, 'state')] ?? 'CLOSED';
  }

  local(id: number): Endpoint {
    return this.#endpoint(id, 'local', 'lport');
  }

  remote(id: number): Endpoint {
    return this.#endpoint(id, 'remote', 'rport');
  }

  #endpoint(id: number, address: string, port: string): Endpoint {
    const bytes = this.#flows.get(id, 'family') === AF_INET6 ? 16 : 4;
    const at = this.#flows.at(id, address);
    return {
      // A copy: text is made of plain memory only.
      address: formatIp(this.arena.u8.slice(at, at + bytes)),
      port: this.arena.dv.getUint16(this.#flows.at(id, port)),
    };
  }

  listener(id: number): number {
    return this.#flows.get(id, 'listener') - 1;
  }

  /** Whether its listener counts it among the handshakes under way. */
  opening(id: number): boolean {
    return (this.#flows.get(id, 'flags') & FLOW_OPENING) !== 0;
  }

  /** The lane that had it is no more: it is over, and says why. Only the control plane does this, for want of that lane. */
  abandon(id: number): void {
    if (this.over(id) || this.#flows.get(id, 'error') === 0) this.#flows.set(id, 'error', ERRNO.ECONNABORTED);
    this.#flows.set(id, 'state', TCP_CLOSE);
  }

  waiting(slot: number): number {
    return (this.#backlogs.word(slot, 'established') - this.#backlogs.word(slot, 'accepted')) | 0;
  }

  took(slot: number): void {
    this.#backlogs.add(slot, 'accepted', 1);
  }

  #writeOptions(id: number, words: OptionWords): void {
    for (const [name, value] of Object.entries(words)) this.#control.set(id, OPTION + name, value);
  }

  setOptions(id: number, options: ConnectionOptions): void {
    const words = applyOptions(this.#known(id), options, true);
    checkCongestion(this.arena, options);
    this.#writeOptions(id, words);
  }

  setUrgent(id: number, position: number): void {
    this.#writeOptions(id, this.#known(id));
    this.#control.set(id, 'urgent', position);
    this.#control.set(id, 'urgents', (this.#control.get(id, 'urgents') + 1) & 0xffff);
  }

  /**
   * The connection's options. One that was accepted has the listener's, which stand in its flow; what its application
   * changed stands in `tcp_control` from then on, marked with the connection's life.
   */
  #known(id: number): OptionWords {
    const life = lifeOf(this.arena, id);
    if (this.#control.get(id, 'life') === life) return this.#control.inner(id, OPTION);
    this.#control.set(id, 'urgents', this.#flows.get(id, 'urgents'));
    this.#control.set(id, 'life', life);
    return this.#flows.inner(id, OPTION);
  }

  info(id: number): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [name, field] of Object.entries(INFO)) out[name] = this.#flows.get(id, field);
    return out;
  }
}
