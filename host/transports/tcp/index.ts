/** TCP as a transport of a stack: `Stack.create({ engine, ports, transport: tcp() })`. */
import { EtherloomError } from '../../errors.js';
import type { Arena } from '../../mem/arena.js';
import type { LoadedTransport, Transport, TransportEnv, TransportView } from '../contract.js';
import { EPHEMERAL, type PortRange } from '../local_ports.js';
import { registerTransport } from '../registry.js';
import { TCP_PROTOCOL, TcpControl, type TcpSettings } from './control.js';
import { applyOptions, type ConnectionOptions } from './options.js';
import { type TcpShared, TcpView } from './view.js';

export type { PortRange } from '../local_ports.js';
export type { CongestionName, ConnectionOptions, KeepAlive } from './options.js';

export interface TcpOptions {
  /** Listeners that there can be at a time. Default 256. */
  listeners?: number;
  /** Own addresses that there can be. Default 1024. */
  addresses?: number;
  /** Connections in TIME_WAIT that are remembered. Default 4096. */
  timeWaits?: number;
  /** Options of every connection that does not say otherwise. Default cubic, else as Linux. */
  defaults?: ConnectionOptions;
  /** Ports for who does not ask for one. Default 32768 … 60999, as Linux. */
  ephemeral?: PortRange;
  /** Makes the choice of ports repeat: for tests. */
  seed?: number;
}

const MOST = 2 ** 20;

class Tcp implements Transport<ConnectionOptions> {
  readonly name = 'tcp';
  readonly protocol = TCP_PROTOCOL;
  readonly #settings: TcpSettings;

  constructor(options: TcpOptions) {
    const { ephemeral = EPHEMERAL } = options;
    const count = (name: 'listeners' | 'addresses' | 'timeWaits', usual: number): number => {
      const n = options[name] ?? usual;
      if (Number.isInteger(n) && n >= 1 && n <= MOST) return n;
      throw new EtherloomError('ERR_TCP_OPTIONS', `${name}: ${n}`, {
        expected: `a whole number from 1 to ${MOST}`,
      });
    };
    const isPort = (n: unknown): boolean =>
      Number.isInteger(n) && (n as number) >= 1 && (n as number) <= 65535;
    if (!isPort(ephemeral.first) || !isPort(ephemeral.last) || ephemeral.first > ephemeral.last)
      throw new EtherloomError('ERR_TCP_OPTIONS', `ephemeral: ${ephemeral.first} … ${ephemeral.last}`, {
        expected: '{ first, last }: two ports in order',
      });
    this.#settings = {
      listeners: count('listeners', 256),
      addresses: count('addresses', 1024),
      timeWaits: count('timeWaits', 4096),
      defaults: applyOptions(applyOptions({ flags: 0 }, { congestion: 'cubic' }), options.defaults),
      ephemeral,
      seed: options.seed,
    };
  }

  load(env: TransportEnv): Promise<LoadedTransport<ConnectionOptions>> {
    return TcpControl.load(this, env, this.#settings);
  }

  view(arena: Arena, shared: unknown): TransportView<ConnectionOptions> {
    return new TcpView(arena, shared as TcpShared);
  }
}

/** TCP with these settings. @throws EtherloomError ERR_TCP_OPTIONS */
export function tcp(options: TcpOptions = {}): Transport<ConnectionOptions> {
  return new Tcp(options);
}

registerTransport(tcp());
