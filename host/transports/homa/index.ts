/** Homa as a transport of a stack: `Stack.create({ engine, ports, messages: homa() })`. */
import { EtherloomError } from '../../errors.js';
import type { Arena } from '../../mem/arena.js';
import { HOMA_PROTOCOL } from '../../wire/homa.js';
import type { TransportEnv } from '../contract.js';
import type { LoadedMessages, MessageTransport, MessageView } from '../messages.js';
import { registerMessages } from '../registry.js';
import { HomaControl, type HomaSettings } from './control.js';
import { type HomaShared, HomaView } from './view.js';

export interface HomaOptions {
  /** Ports that can be served at a time. Default 64. */
  listeners?: number;
  /** Own addresses that there can be. Default 1024. */
  addresses?: number;
  /** Bytes of a message that are sent without being asked for. Default 40,000. */
  unscheduled?: number;
  /** Makes the choice of ports repeat: for tests. */
  seed?: number;
}

const MOST = 2 ** 20;
const LONGEST = 1_000_000;

function whole(name: string, n: unknown, least: number, most: number): number {
  if (Number.isInteger(n) && (n as number) >= least && (n as number) <= most) return n as number;
  throw new EtherloomError('ERR_HOMA_OPTIONS', `${name}: ${String(n)}`, {
    expected: `a whole number from ${least} to ${most}`,
  });
}

class Homa implements MessageTransport {
  readonly name = 'homa';
  readonly protocol = HOMA_PROTOCOL;
  readonly #settings: HomaSettings;

  constructor(o: HomaOptions) {
    this.#settings = {
      listeners: whole('listeners', o.listeners ?? 64, 1, 32768),
      addresses: whole('addresses', o.addresses ?? 1024, 1, MOST),
      seed: o.seed,
      globals: { homa_unscheduled: whole('unscheduled', o.unscheduled ?? 40_000, 1, LONGEST) },
    };
  }

  load(env: TransportEnv): Promise<LoadedMessages> {
    return HomaControl.load(this, env, this.#settings);
  }

  view(arena: Arena, shared: unknown): MessageView {
    return new HomaView(arena, shared as HomaShared);
  }
}

/** Homa with these settings. @throws EtherloomError ERR_HOMA_OPTIONS */
export function homa(options: HomaOptions = {}): MessageTransport {
  return new Homa(options);
}

registerMessages(homa());
