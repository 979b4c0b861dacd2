/** What applications of a stack ask of its transport of datagrams, checked: to bind, to connect, to let go. */
import type { Engine } from '../engine/engine.js';
import { EtherloomError } from '../errors.js';
import { FRAME_HEADROOM, FRAME_SIZE } from '../layout/layout.gen.js';
import type { Endpoint } from '../transports/contract.js';
import type { BindPlace, DatagramView, LoadedDatagrams } from '../transports/datagrams.js';
import { SocketError } from '../transports/errno.js';
import { formatIp, parseIp } from '../wire/address.js';
import type { DatagramsTold } from './burst/calls.js';
import type { BindOptions, DatagramRequests } from './burst/datagrams.js';
import type { Network } from './network.js';

const SEND_BYTES = 65536;
const RECEIVE_BYTES = 262144;
const MOST_RING = 16 << 20;
const ETH_SIZE = 14;
/** IP headers, bytes. */
const HEADERS = { 4: 20, 6: 40 } as const;
const BIND: readonly string[] = [
  ...['address', 'port', 'family', 'lane', 'sendBuffer', 'receiveBuffer', 'transport', 'data'],
];

/** How many there were: another thread tells by it whether a transport of that name is the one that it knew. */
let lives = 0;

export class StackDatagrams implements DatagramRequests {
  readonly view: DatagramView;
  readonly protocol: number;
  #ended = false;
  readonly #life = ++lives;

  constructor(
    readonly engine: Engine,
    readonly network: Network,
    readonly transport: LoadedDatagrams,
    /** @throws EtherloomError ERR_STACK_CLOSED */
    readonly open: () => void,
  ) {
    this.view = transport.transport.view(engine.arena, transport.shared);
    this.protocol = transport.transport.protocol;
  }

  /** Name of the transport. */
  get name(): string {
    return this.transport.transport.name;
  }

  /** The transport is to go: nobody binds any more. */
  end(): void {
    this.#ended = true;
  }

  bind(options: BindOptions, app: number): BindPlace {
    this.open();
    if (this.#ended)
      throw new EtherloomError('ERR_STACK_TRANSPORT', `transport "${this.name}" is being closed`);
    const o = checked(options);
    const { port = 0, family, lane, sendBuffer = SEND_BYTES, receiveBuffer = RECEIVE_BYTES } = o;
    const whole = (name: string, n: unknown, least: number, most: number): void => {
      if (Number.isInteger(n) && (n as number) >= least && (n as number) <= most) return;
      throw new EtherloomError('ERR_STACK_OPTIONS', `bind: ${name}: ${String(n)}`, {
        expected: `a whole number from ${least} to ${most}`,
      });
    };
    whole('port', port, 0, 65535);
    whole('sendBuffer', sendBuffer, 1, MOST_RING);
    whole('receiveBuffer', receiveBuffer, 1, MOST_RING);
    if (lane !== undefined) whole('lane', lane, 0, this.engine.laneCount - 1);
    if (family !== undefined && family !== 4 && family !== 6)
      throw new EtherloomError('ERR_STACK_OPTIONS', `bind: family: ${String(family)}`, {
        expected: '4, 6, or none for both',
      });
    const address = o.address === undefined ? undefined : formatIp(parseIp(o.address));
    if (address !== undefined && !this.network.has(address))
      throw new SocketError('EADDRNOTAVAIL', `${address} is no address of this stack`, {
        expected: this.network.addresses.join(', '),
      });
    const { ifindex } = this.network.ports[0];
    return this.transport.bind({
      ...{ app, address, port, family, lane, ifindex, send: sendBuffer, receive: receiveBuffer },
    });
  }

  associate(id: number, remote: Endpoint, local: string | undefined): string {
    this.open();
    const way = this.network.wayTo(remote.address, local);
    this.transport.associate(id, way.address, remote);
    return way.address;
  }

  reach(address: string): undefined {
    this.network.wayTo(address);
  }

  dissociate(id: number): void {
    this.transport.dissociate(id);
  }

  unbind(id: number): undefined {
    this.transport.unbind(id);
  }

  /** What another thread is told of it. */
  get told(): DatagramsTold {
    const { transport, shared } = this.transport;
    const { name, protocol, viewedBy = name } = transport;
    const longest = { 4: this.most(4), 6: this.most(6) };
    return { name, life: this.#life, viewedBy, protocol, shared, longest };
  }

  most(family: 4 | 6): number {
    const frame = FRAME_SIZE - FRAME_HEADROOM - ETH_SIZE;
    const packet = Math.max(...this.network.ports.map(p => Math.min(p.mtu, frame)));
    return packet - HEADERS[family] - this.transport.transport.headerBytes;
  }
}

function checked(options: BindOptions): BindOptions {
  if (typeof options !== 'object' || options === null)
    throw new EtherloomError('ERR_STACK_OPTIONS', `bind: ${String(options)}`, {
      expected: 'an object of options',
    });
  const other = Object.keys(options).find(name => !BIND.includes(name));
  if (other !== undefined)
    throw new EtherloomError('ERR_STACK_OPTIONS', `bind: ${other}`, { expected: BIND.join(', ') });
  return options;
}
