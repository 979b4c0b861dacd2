/**
 * The oracle: the kernel of this machine behind a TUN interface in a namespace of its own, in real time. One `Rig` plays
 * one script after the other; each script speaks from another address, so that nothing that the kernel remembers of a
 * peer (routes, path MTU, connections in TIME_WAIT) reaches the next.
 */

import { linkName, Namespace } from '../../../support/netns.js';
import type { Answer, Arrival, Call, Driver, Host, Moment, Setup } from '../driver.js';
import { Link, type Reply } from './link.js';
import { route, sysctls } from './settings.js';

const HOST4 = '10.99.0.1';
const HOST6 = 'fd99::1';

/** Words of a call as the helper takes them: its verb, then what it needs in this order. */
function wordsOf(call: Call): [string, ...unknown[]] {
  const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');
  switch (call.do) {
    case 'listen':
      return ['listen', call.socket, call.port, call.backlog, call.options];
    case 'accept':
      return ['accept', call.socket, call.as];
    case 'connect':
      return ['connect', call.socket, call.from, call.port, call.options];
    case 'write':
      return ['write', call.socket, hex(call.bytes), call.urgent];
    case 'read':
      return ['read', call.socket, call.most, call.urgent];
    case 'shutdown':
      return ['shutdown', call.socket, call.how];
    case 'set':
      return ['set', call.socket, call.name, call.value];
    case 'state':
      return ['state', call.port, call.peerPort];
    default:
      return [call.do, call.socket];
  }
}

function answerOf(call: Call, { at, value, error }: Reply): Answer {
  if (error !== undefined) return { at, error };
  if (call.do === 'read') return { at, bytes: Buffer.from(String(value ?? ''), 'hex') };
  if (typeof value === 'string') return { at, text: value };
  return { at, ...(value === undefined ? {} : { value }) };
}

class KernelHost implements Host {
  readonly arrived: Arrival[] = [];
  #onArrival: (() => void) | undefined;

  constructor(
    readonly link: Link,
    readonly address: string,
    readonly peer: string,
  ) {
    link.onPacket = arrival => {
      this.arrived.push(arrival);
      this.#onArrival?.();
    };
  }

  inject(packet: Uint8Array): Moment {
    return this.link.inject(packet);
  }

  async call(call: Call): Promise<Answer> {
    return answerOf(call, await this.link.ask(...wordsOf(call)));
  }

  async now(): Promise<number> {
    return (await this.link.ask('wait', 0)).at;
  }

  async pass(deadline: number): Promise<boolean> {
    const before = this.arrived.length;
    const more = new Promise<void>(resolve => {
      this.#onArrival = resolve;
    });
    const over = this.link.ask('wait', deadline).then(() => true);
    // Only a call that has its answer says that nothing came before it: what arrives first is told first.
    const timeIsUp = await Promise.race([more.then(() => false), over]);
    over.catch(() => {});
    return !timeIsUp || this.arrived.length > before;
  }

  async close(): Promise<void> {
    await this.link.ask('end');
    this.link.onPacket = () => {};
  }
}

export class LinuxDriver implements Driver {
  readonly name = 'linux';
  #peers = 0;

  private constructor(
    readonly namespace: Namespace,
    readonly link: Link,
  ) {}

  /** Makes a namespace and starts the helper in it. Needs root, iproute2, Python 3 and /dev/net/tun. */
  static async create(): Promise<LinuxDriver> {
    const namespace = new Namespace('scripts');
    const link = await Link.open(namespace.name, linkName('sc'), `${HOST4}/16`, `${HOST6}/64`);
    return new LinuxDriver(namespace, link);
  }

  async open(setup: Setup): Promise<Host> {
    const n = 0x100 + this.#peers++;
    const six = setup.family === 6;
    const peer = six ? `fd99::${n.toString(16)}` : `10.99.${n >> 8}.${n & 255}`;
    const { family = 4, congestion = 'reno' } = setup;
    const { error } = await this.link.ask('setup', family, peer, sysctls(setup), route(setup), congestion);
    if (error) throw new Error(`the kernel refuses the script's setup: ${error}`);
    return new KernelHost(this.link, six ? HOST6 : HOST4, peer);
  }

  async close(): Promise<void> {
    await this.link.close();
    this.namespace.close();
  }
}
