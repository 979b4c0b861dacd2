/** A peer by hand: it connects to the second host of a scene, and then does what no TCP would. */
import type { Options, Segment } from '../../conformance/tcp/segment.js';
import { assert } from '../../support/suite.js';
import type { Forged, Scene } from './scene.js';

const SYN_ACK = 0x12;
let ports = 20_000;

export interface PeerOptions {
  options?: Options;
  window?: number;
  src?: string;
}

export class Peer {
  readonly port = ports++;
  /** What it sends next, and what it expects next. */
  seq = 0x1000_0000 + this.port * 0x1000;
  ack = 0;
  /** Options of the host's SYN-ACK. */
  agreed: Options = {};

  constructor(
    readonly scene: Scene,
    readonly to: number,
    readonly how: PeerOptions = {},
  ) {}

  send(flags: string, more: Partial<Forged> = {}): void {
    const { src = '10.66.0.1', window = 65535 } = this.how;
    this.scene.forge({
      ...{ src, srcPort: this.port, dstPort: this.to, seq: this.seq, flags, window },
      ...(flags.includes('ACK') && { ack: this.ack }),
      ...more,
    });
  }

  /** Segments from the host since the last call. */
  got(): Segment[] {
    this.scene.pair.b.settle();
    return this.scene.taken(this.port);
  }

  /** First half of the handshake. Returns whether the host answered with a SYN-ACK. */
  syn(): boolean {
    this.send('SYN', { options: this.how.options ?? {} });
    const answer = this.got().find(s => s.flags === SYN_ACK);
    if (!answer) return false;
    this.seq = (this.seq + 1) >>> 0;
    this.ack = (answer.seq + 1) >>> 0;
    this.agreed = answer.options;
    return true;
  }

  /** The whole handshake; returns the number of the stream at the host. */
  connect(): number {
    const { b } = this.scene.pair;
    assert.ok(this.syn(), 'the host answers a SYN');
    this.send('ACK');
    b.settle();
    const id = b.accepted.pop();
    assert.ok(id !== undefined, 'the host accepts');
    return id!;
  }
}
