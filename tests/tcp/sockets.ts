/**
 * Sockets as Linux has them: what the packet-level scripts of tests/conformance call, with the answers of read(2), poll(2)
 * and the like. Streams and the flow's own words stand below (core.ts), not a Stack: scripts ask for what its options
 * leave out (no limit on challenge ACKs) and look at what it keeps to itself (marks of urgent data, connections untaken).
 */
import { StreamRequest } from '../../host/layout/layout.gen.js';
import { errnoName } from '../../host/transports/errno.js';
import type { Answer, Arrival, Call, Setup, SocketOption } from '../conformance/tcp/driver.js';
import type { VirtualHost } from '../conformance/tcp/virtual/driver.js';
import type { EngineCore, FlowView } from './core.js';
import { OptionFlag, optionsOf, type SetOptions } from './options.js';

const State = {
  ESTABLISHED: 1,
  SYN_SENT: 2,
  SYN_RECV: 3,
  TIME_WAIT: 6,
  CLOSE: 7,
  CLOSE_WAIT: 8,
  LAST_ACK: 9,
} as const;
const STATES = [
  'CLOSED',
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECEIVED',
  'FIN_WAIT_1',
  'FIN_WAIT_2',
  'TIME_WAIT',
  'CLOSED',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'CLOSING',
];
const FlowFlag = { FIN_QUEUED: 1 << 8, FIN_SEEN: 1 << 10, URGENT_IN: 1 << 20 } as const;

interface Socket {
  kind: 'listener' | 'stream';
  /** Slot of a listener, number of a stream. */
  id: number;
  port: number;
  options: SetOptions;
  urgents: number;
  reported: boolean;
  noRead: boolean;
  linger: boolean;
  oobInline: boolean;
  /** Position of the urgent byte that was read, of the one that was taken out of the stream, and that one. */
  urgentRead: number;
  urgentGone: number;
  urgentByte: number;
}

export class SocketHost implements VirtualHost {
  readonly #sockets = new Map<number, Socket>();

  constructor(
    readonly setup: Setup,
    readonly core: EngineCore,
  ) {}

  get time(): number {
    return this.core.time;
  }

  get due(): number | undefined {
    return this.core.due;
  }

  inject(packet: Uint8Array): void {
    this.core.inject(packet);
  }

  collect(): Arrival[] {
    return this.core.collect();
  }

  advance(to: number): void {
    this.core.advance(to);
  }

  close(): void {
    this.core.close();
  }

  call(call: Call): Omit<Answer, 'at'> {
    switch (call.do) {
      case 'listen': {
        const s = this.#socket('listener', call.port, call.options);
        s.id = this.core.listen(call.port, call.backlog, s.options);
        this.#sockets.set(call.socket, s);
        return {};
      }
      case 'accept': {
        const l = this.#sockets.get(call.socket)!;
        const id = this.core.accepted(l.id);
        if (!id) return { error: 'EAGAIN' };
        this.#sockets.set(call.as, {
          ...l,
          options: { ...l.options },
          kind: 'stream',
          id,
          urgentRead: -1,
          urgentGone: -1,
        });
        return {};
      }
      case 'connect': {
        const s = this.#socket('stream', call.from, call.options);
        s.id = this.core.connect(call.from, call.port, s.options);
        this.#sockets.set(call.socket, s);
        return { error: 'EINPROGRESS' };
      }
      case 'state':
        return { text: STATES[this.core.state(call.port, call.peerPort)] };
      case 'close':
      case 'abort': {
        const s = this.#sockets.get(call.socket)!;
        this.#sockets.delete(call.socket);
        if (s.kind === 'listener') {
          this.core.unlisten(s.port);
          for (let id = this.core.accepted(s.id); id; id = this.core.accepted(s.id))
            this.core.request(id, StreamRequest.ABORT);
        } else
          this.core.request(
            s.id,
            call.do === 'abort' || s.linger ? StreamRequest.ABORT : StreamRequest.CLOSE,
          );
        return {};
      }
    }
    const s = this.#sockets.get(call.socket);
    if (!s) return { error: 'EBADF' };
    if (call.do === 'set') return this.#set(s, call.name, call.value);
    if (s.kind === 'listener') return { error: 'ENOTCONN', text: '' };
    switch (call.do) {
      case 'write':
        return this.#write(s, call.bytes, call.urgent);
      case 'read':
        return call.urgent ? this.#readUrgent(s) : this.#read(s, call.most);
      case 'shutdown':
        return this.#shutdown(s, call.how);
      case 'poll':
        return { text: this.#poll(s) };
      case 'error': {
        const error = this.#error(s);
        return { text: error ?? 'none' };
      }
    }
  }

  #socket(kind: Socket['kind'], port: number, list: [SocketOption, number][]): Socket {
    const s: Socket = {
      kind,
      id: 0,
      port,
      options: optionsOf(this.setup),
      urgents: 0,
      reported: false,
      noRead: false,
      linger: false,
      oobInline: false,
      urgentRead: -1,
      urgentGone: -1,
      urgentByte: 0,
    };
    for (const [name, value] of list) this.#option(s, name, value);
    return s;
  }

  #option(s: Socket, name: SocketOption, value: number): void {
    const o = s.options;
    const flag = (bit: number, on: boolean): void => {
      o.flags = on ? o.flags | bit : o.flags & ~bit;
    };
    switch (name) {
      case 'nodelay':
        return flag(OptionFlag.NODELAY, value !== 0);
      case 'cork':
        return flag(OptionFlag.CORK, value !== 0);
      case 'keepalive':
        return flag(OptionFlag.KEEPALIVE, value !== 0);
      case 'keepIdleS':
        o.keepIdleMs = value * 1000;
        return;
      case 'keepIntervalS':
        o.keepIntervalMs = value * 1000;
        return;
      case 'keepCount':
        o.keepProbes = value;
        return;
      case 'userTimeoutMs':
        o.userTimeoutMs = value;
        return;
      case 'lingerS':
        s.linger = value === 0;
        return;
      case 'oobInline':
        s.oobInline = value !== 0;
        return;
      case 'receiveBuffer':
        o.rcvBytes = value;
        return;
      case 'sendBuffer':
        o.sndBytes = value;
        return;
      case 'maxSegment':
        o.mss = value;
        return;
      case 'dontFragment':
        return flag(OptionFlag.NO_PMTUD, value === 0);
    }
  }

  #set(s: Socket, name: SocketOption, value: number): Omit<Answer, 'at'> {
    this.#option(s, name, value);
    if (s.kind === 'stream') this.core.setOptions(s.id, s.options, s.urgents);
    return {};
  }

  /** The error that is pending, which is told once. */
  #error(s: Socket): string | undefined {
    const f = this.core.flow(s.id);
    if (f.state !== State.CLOSE || !f.error || s.reported) return undefined;
    s.reported = true;
    return errnoName(f.error);
  }

  #write(s: Socket, bytes: Uint8Array, urgent: boolean): Omit<Answer, 'at'> {
    const f = this.core.flow(s.id);
    const error = this.#error(s);
    if (error) return { error };
    if (f.state === State.SYN_SENT || f.state === State.SYN_RECV || f.state === 0) return { error: 'EAGAIN' };
    if (f.flags & FlowFlag.FIN_QUEUED || (f.state !== State.ESTABLISHED && f.state !== State.CLOSE_WAIT))
      return { error: 'EPIPE' };
    const taken = Math.min(bytes.length, f.room);
    if (!taken) return { error: 'EAGAIN' };
    this.core.write(s.id, bytes.subarray(0, taken));
    if (urgent) this.core.setOptions(s.id, s.options, ++s.urgents);
    this.core.flush();
    return { value: taken };
  }

  /** Whether the urgent byte is beyond what was read, or was taken out of the stream. */
  #mark(f: FlowView): number | undefined {
    return f.flags & FlowFlag.URGENT_IN ? f.urgent : undefined;
  }

  #ended(f: FlowView): boolean {
    return (f.flags & FlowFlag.FIN_SEEN) !== 0 && f.received > f.fin && f.readable === 0;
  }

  #read(s: Socket, most: number): Omit<Answer, 'at'> {
    let f = this.core.flow(s.id);
    let want = Math.min(most, f.readable);
    const mark = this.#mark(f);
    if (mark !== undefined && !s.oobInline) {
      if (mark === f.read && f.readable) {
        // The urgent byte is no part of the stream.
        s.urgentByte = this.core.peek(s.id, 0);
        s.urgentGone = mark;
        this.core.read(s.id, 1);
        f = this.core.flow(s.id);
        want = Math.min(most, f.readable);
      } else if (mark > f.read && mark < f.read + want) want = mark - f.read;
    }
    if (want) return { bytes: this.core.read(s.id, want) };
    const error = this.#error(s);
    if (error) return { error };
    if (this.#ended(f) || s.noRead || f.state === State.CLOSE) return { bytes: new Uint8Array(0) };
    if (f.state === State.SYN_SENT) return { error: 'ENOTCONN' };
    return { error: 'EAGAIN' };
  }

  #readUrgent(s: Socket): Omit<Answer, 'at'> {
    const f = this.core.flow(s.id);
    const mark = this.#mark(f);
    if (mark === undefined || s.oobInline || s.urgentRead === mark) return { error: 'EINVAL' };
    if (mark >= f.received) return { error: 'EAGAIN' };
    s.urgentRead = mark;
    return {
      bytes: Uint8Array.of(s.urgentGone === mark ? s.urgentByte : this.core.peek(s.id, mark - f.read)),
    };
  }

  #shutdown(s: Socket, how: 'read' | 'write' | 'both'): Omit<Answer, 'at'> {
    const f = this.core.flow(s.id);
    if (f.state === State.CLOSE || f.state === 0) return { error: 'ENOTCONN' };
    if (how !== 'write') s.noRead = true;
    if (how !== 'read') this.core.request(s.id, StreamRequest.SHUTDOWN);
    return {};
  }

  #poll(s: Socket): string {
    const f = this.core.flow(s.id);
    const closed = f.state === State.CLOSE;
    const rdhup = closed || s.noRead || ((f.flags & FlowFlag.FIN_SEEN) !== 0 && f.received > f.fin);
    const shut = closed || (f.flags & FlowFlag.FIN_QUEUED) !== 0;
    const mark = this.#mark(f);
    const words: string[] = [];
    const connecting = f.state === State.SYN_SENT || f.state === State.SYN_RECV;
    if (f.readable > 0 || rdhup) words.push('in');
    if (!connecting && (shut || f.room * 3 >= (s.options.sndBytes || 262144))) words.push('out');
    if (mark !== undefined && s.urgentRead !== mark && mark < f.received) words.push('pri');
    if (closed && f.error && !s.reported) words.push('err');
    if (closed || (rdhup && shut)) words.push('hup');
    if (rdhup) words.push('rdhup');
    return words.join(' ');
  }
}
