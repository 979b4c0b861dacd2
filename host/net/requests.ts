/**
 * What applications of a stack ask of it, checked: to connect and to listen. Whose connection it is to be is the number of
 * an application.
 */
import type { Engine } from '../engine/engine.js';
import { EtherloomError } from '../errors.js';
import type { ListenPlace, LoadedTransport, Made } from '../transports/contract.js';
import { SocketError } from '../transports/errno.js';
import { canonicalIp } from '../wire/address.js';
import type { Requests } from './burst/burst.js';
import type { ConnectOptions, ListenOptions } from './burst/calls.js';
import type { Network } from './network.js';

const BACKLOG = 128;

export class StackRequests<O extends object> implements Requests<O> {
  #ended = false;

  constructor(
    readonly engine: Engine,
    readonly network: Network,
    readonly transport: LoadedTransport<O>,
  ) {}

  /** Whether `end` was called. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Nothing is taken any more. */
  end(): void {
    this.#ended = true;
  }

  open(): void {
    if (this.#ended) throw new EtherloomError('ERR_STACK_CLOSED', 'the stack is closed');
    if (this.engine.state === 'stopped')
      throw new EtherloomError('ERR_STACK_CLOSED', 'the engine of the stack was stopped', {
        expected: 'stack.close() first, then engine.stop()',
      });
  }

  /** @throws as Burst.listen */
  listen(options: ListenOptions<O>, app: number, laneApps: readonly number[] = []): ListenPlace {
    this.open();
    const {
      port = 0,
      address,
      family,
      backlog = BACKLOG,
      options: more = {} as O,
    } = checked(options, 'listen', LISTEN);
    checkPort('port', port, 0);
    if (family !== undefined && family !== 4 && family !== 6)
      throw new EtherloomError('ERR_STACK_OPTIONS', `listen: family: ${String(family)}`, {
        expected: '4, 6, or none for both',
      });
    const own = address === undefined ? undefined : canonicalIp(address);
    if (own !== undefined && !this.network.has(own))
      throw new SocketError('EADDRNOTAVAIL', `${own} is no address of this stack`, {
        expected: this.network.addresses.join(', '),
      });
    return this.transport.listen({ app, laneApps, address: own, family, port, backlog, options: more });
  }

  /** @throws as Burst.connect */
  connect(options: ConnectOptions<O>, app: number): Made {
    this.open();
    const {
      host,
      port,
      localAddress,
      localPort = 0,
      lane,
      options: more = {} as O,
    } = checked(options, 'connect', CONNECT);
    checkPort('port', port, 1);
    checkPort('localPort', localPort, 0);
    if (typeof host !== 'string')
      throw new EtherloomError('ERR_STACK_OPTIONS', `host: ${String(host)}`, { expected: 'an IP address' });
    const { laneCount } = this.engine;
    if (lane !== undefined && (!Number.isInteger(lane) || lane < 0 || lane >= laneCount))
      throw new EtherloomError('ERR_STACK_OPTIONS', `lane: ${lane}`, {
        expected: `a whole number from 0 to ${laneCount - 1}`,
      });
    const way = this.network.wayTo(host, localAddress);
    const remote = { address: canonicalIp(host), port };
    return this.transport.connect({
      ...{ app, remote, lane, options: more, ifindex: way.port.ifindex },
      local: { address: way.address, port: localPort },
    });
  }
}

/** Members of ListenOptions and ConnectOptions. */
const LISTEN: readonly string[] = ['port', 'address', 'family', 'backlog', 'options'];
const CONNECT: readonly string[] = ['host', 'port', 'localAddress', 'localPort', 'lane', 'data', 'options'];

function checked<T extends object>(options: T, what: string, known: readonly string[]): T {
  if (typeof options !== 'object' || options === null)
    throw new EtherloomError('ERR_STACK_OPTIONS', `${what}: ${String(options)}`, {
      expected: 'an object of options',
    });
  const other = Object.keys(options).find(name => !known.includes(name));
  if (other !== undefined)
    throw new EtherloomError('ERR_STACK_OPTIONS', `${what}: ${other}`, {
      expected: `${known.join(', ')}; what the transport is told stands in options: { ${other} }`,
    });
  return options;
}

function checkPort(name: string, port: unknown, least: number): void {
  if (Number.isInteger(port) && (port as number) >= least && (port as number) <= 65535) return;
  throw new EtherloomError('ERR_STACK_OPTIONS', `${name}: ${String(port)}`, {
    expected: `a whole number from ${least} to 65535`,
  });
}
