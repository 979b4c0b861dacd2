/** Programs of TCP and Homa that are replaced while calls are under way: by another version, and by their own again. */
import type { Engine } from '../../../host/engine/engine.js';
import { HOMA_OBJECT } from '../../../host/transports/homa/control.js';
import { TCP_OBJECT } from '../../../host/transports/tcp/control.js';
import type { Rng } from '../../support/fuzz.js';
import { EAGER, missingClang, version } from '../../swap/objects.js';

/** Counts the packets that it takes in where the other counts ICMP errors. */
const COUNTING = {
  file: 'homa.bpf.c',
  from: '	case PACKET_OK:\n		return homa_dispatch(ctx, &p);',
  to: '	case PACKET_OK:\n		count(ErrorsIn);\n		return homa_dispatch(ctx, &p);',
};
/** Their own object, and the other; without a compiler the same again, which is an upgrade like others. */
const OBJECTS = {
  tcp: [TCP_OBJECT, () => version('tcp', [EAGER])],
  homa: [HOMA_OBJECT, () => version('homa', [COUNTING])],
} as const;

/** Upgrades one of them, on one of the hosts. */
export async function upgradeOne(engine: Engine, rng: Rng): Promise<void> {
  const live = engine.transports.list().filter(t => t.name === 'tcp' || t.name === 'homa');
  const { stack, name, generation } = rng.pick(live);
  const [own, other] = OBJECTS[name as 'tcp' | 'homa'];
  const next = generation & 1 && missingClang === undefined ? other() : own;
  await engine.transports.upgrade(`${stack}/${name}`, next);
}
