/** UDP as a transport of a stack: `Stack.create({ engine, ports, datagrams: udp() })`. */
import { EtherloomError } from '../../errors.js';
import type { Arena } from '../../mem/arena.js';
import type { TransportEnv } from '../contract.js';
import type { DatagramTransport, DatagramView, LoadedDatagrams } from '../datagrams.js';
import { EPHEMERAL, type PortRange } from '../local_ports.js';
import { registerDatagrams } from '../registry.js';
import { UDP_PROTOCOL, UdpControl, type UdpSettings } from './control.js';
import { type UdpShared, UdpView } from './view.js';

export interface UdpOptions {
  /** Sockets that there can be at a time. Default 1024, or as many as the engine has streams. */
  sockets?: number;
  /** Own addresses that there can be. Default 1024. */
  addresses?: number;
  /** Ports for who does not ask for one. Default 32768 … 60999, as Linux. */
  ephemeral?: PortRange;
  /** Makes the choice of ports repeat: for tests. */
  seed?: number;
}

const MOST = 2 ** 20;

class Udp implements DatagramTransport {
  readonly name = 'udp';
  readonly protocol = UDP_PROTOCOL;
  readonly headerBytes = 8;
  readonly #settings: UdpSettings;

  constructor({ sockets = 1024, addresses = 1024, ephemeral = EPHEMERAL, seed }: UdpOptions) {
    for (const [name, n] of Object.entries({ sockets, addresses }))
      if (!Number.isInteger(n) || n < 1 || n > MOST)
        throw new EtherloomError('ERR_UDP_OPTIONS', `${name}: ${n}`, {
          expected: `a whole number from 1 to ${MOST}`,
        });
    const { first, last } = ephemeral;
    if (![first, last].every(n => Number.isInteger(n) && n >= 1 && n <= 65535) || first > last)
      throw new EtherloomError('ERR_UDP_OPTIONS', `ephemeral: ${first} … ${last}`, {
        expected: '{ first, last }: two ports in order',
      });
    this.#settings = { sockets, addresses, ephemeral, seed };
  }

  load(env: TransportEnv): Promise<LoadedDatagrams> {
    return UdpControl.load(this, env, this.#settings);
  }

  view(arena: Arena, shared: unknown): DatagramView {
    return new UdpView(arena, shared as UdpShared);
  }
}

/** UDP with these settings. @throws EtherloomError ERR_UDP_OPTIONS */
export function udp(options: UdpOptions = {}): DatagramTransport {
  return new Udp(options);
}

registerDatagrams(udp());
