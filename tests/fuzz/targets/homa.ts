/** Homa packets: whatever is read can be built again and is read as the same; what is not says why. */
import { EtherloomError } from '../../../host/errors.js';
import { buildHoma, type HomaPacket, HomaType, parseHoma } from '../../../host/wire/homa.js';
import { EACH, EDGES } from '../../homa/packets.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const text = (p: HomaPacket): string =>
  JSON.stringify(p, (_, v) => (typeof v === 'bigint' ? `${v}` : v instanceof Uint8Array ? [...v] : v));

export const target: FuzzTarget = {
  name: 'homa',
  maxBytes: 300,
  seeds: () => [...EACH, ...EDGES].map(buildHoma),
  dictionary: Object.values(HomaType).map(t => Uint8Array.of(t, 0x50)),
  run: bytes => {
    const packet = parseHoma(bytes);
    if ('problem' in packet) {
      if (!['TRUNCATED', 'BAD_TYPE', 'BAD_LENGTH'].includes(packet.problem)) throw new Error(packet.problem);
      throw new EtherloomError(`ERR_HOMA_${packet.problem}`, packet.problem);
    }
    const again = parseHoma(buildHoma(packet)) as HomaPacket;
    if (text(again) !== text(packet)) throw new Error(`${text(packet)} became ${text(again)}`);
  },
};
