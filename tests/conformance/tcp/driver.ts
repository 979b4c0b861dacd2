/**
 * What a script runs on: a host under test behind a link of which the script is the other end, and the calls of an
 * application on that host. Two drivers: linux/ (the kernel over TUN, real time) and virtual/ (an inline engine).
 */

/** How the host is set up before a script. Times in ms. What is not said has the default given here. */
export interface Setup {
  /** IP version. Default 4. */
  family?: 4 | 6;
  /** MTU of the link. Default 1500. */
  mtu?: number;
  /** Segments of the initial congestion window. Default 10 (RFC 6928). */
  initialCwnd?: number;
  /** Default reno (RFC 5681). */
  congestion?: 'reno' | 'cubic';
  /** Default off; `passive`: accepted, not asked for. */
  ecn?: 'off' | 'passive' | 'on';
  /** Whether the host supports RFC 7323 timestamps, window scaling, RFC 2018 and RFC 2883. Default true. */
  timestamps?: boolean;
  windowScaling?: boolean;
  sack?: boolean;
  dsack?: boolean;
  /** Least retransmission timeout. Default 1000 (RFC 6298 §2.4), which also forgives a busy machine. */
  rtoMinMs?: number;
  /** Tail loss probes. Default false. */
  tlp?: boolean;
  /** RFC 5682. Default false. */
  frto?: boolean;
  /** Retransmissions of a SYN, of a SYN-ACK and of anything else before the host gives up. */
  synRetries?: number;
  synAckRetries?: number;
  retries?: number;
  /** How long FIN_WAIT_2 lasts when nobody holds the socket. */
  finTimeoutMs?: number;
  /** Buffers, bytes of data that fit (a host may round up). */
  receiveBuffer?: number;
  sendBuffer?: number;
  /** SYN cookies. Default never. */
  synCookies?: 'never' | 'overflow' | 'always';
  /** Packetization layer path MTU discovery (RFC 4821) from the start. Default false. */
  mtuProbing?: boolean;
  /** Answers to unacceptable segments are limited in rate (RFC 5961 §7). Default false. */
  ackLimit?: boolean;
  /** Settings that only Linux has: sysctls below net.ipv4. */
  sysctl?: Record<string, string | number>;
}

export type SocketOption =
  | 'nodelay'
  | 'cork'
  | 'keepalive'
  | 'keepIdleS'
  | 'keepIntervalS'
  | 'keepCount'
  | 'userTimeoutMs'
  | 'lingerS'
  | 'oobInline'
  | 'receiveBuffer'
  | 'sendBuffer'
  | 'maxSegment'
  | 'dontFragment';

/** What an application asks the host. Sockets are numbers that the script chooses. */
export type Call =
  | { do: 'listen'; socket: number; port: number; backlog: number; options: [SocketOption, number][] }
  | { do: 'accept'; socket: number; as: number }
  | { do: 'connect'; socket: number; from: number; port: number; options: [SocketOption, number][] }
  | { do: 'write'; socket: number; bytes: Uint8Array; urgent: boolean }
  | { do: 'read'; socket: number; most: number; urgent: boolean }
  | { do: 'shutdown'; socket: number; how: 'read' | 'write' | 'both' }
  | { do: 'close'; socket: number }
  | { do: 'abort'; socket: number }
  | { do: 'set'; socket: number; name: SocketOption; value: number }
  | { do: 'poll'; socket: number }
  | { do: 'error'; socket: number }
  | { do: 'state'; port: number; peerPort: number };

/** What came of a call. `error` is the name of an errno; a call never waits, so EAGAIN is one of them. */
export interface Answer {
  error?: string;
  /** Bytes read. */
  bytes?: Uint8Array;
  /** Bytes written; 1 for true. */
  value?: number;
  /** State of RFC 9293 (`ESTABLISHED`, …), or the ready words of poll (`in out hup rdhup err pri`). */
  text?: string;
  /** When it was done. */
  at: number;
}

/** When something happened; known at the latest when the next packet or answer has come. */
export interface Moment {
  at?: number;
}

/** A packet from the host under test. */
export interface Arrival {
  at: number;
  packet: Uint8Array;
}

/** A host under test, for one script. Times are ms of one clock that starts anywhere. */
export interface Host {
  /** Its address, and the one that the script speaks from. */
  readonly address: string;
  readonly peer: string;
  /** Packets that it sent and nobody has taken, in order. */
  readonly arrived: Arrival[];
  /** Gives it an IP packet. In order with calls. */
  inject(packet: Uint8Array): Moment;
  call(call: Call): Promise<Answer>;
  /** Time, when all that was asked before is done and all that it sent by then has arrived. */
  now(): Promise<number>;
  /** Time passes until `deadline`, or until more has arrived: true. */
  pass(deadline: number): Promise<boolean>;
  /** Ends all its connections without a word and frees it. */
  close(): Promise<void>;
}

export interface Driver {
  /** `linux`, `etherloom`. */
  readonly name: string;
  open(setup: Setup): Promise<Host>;
  close(): Promise<void>;
}
