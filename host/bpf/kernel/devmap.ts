/** devmap and devmap_hash of the real kernel: entries are numbers of its interfaces, not ports of an engine. */
import { type Codec, indexCodec } from '../maps/codec.js';
import { MapError } from '../maps/errors.js';
import { KeyedMap } from '../maps/keyed.js';
import type { StorePlace } from '../maps/store.js';
import type { MapSpec } from '../spec.js';
import { KernelProgram } from './program.js';

/** Interface to send to, and a program of section xdp/devmap that is run on the way out. */
export interface KernelDevmapValue {
  ifindex: number;
  program?: KernelProgram;
}

/** struct bpf_devmap_val: u32 ifindex, and where values have 8 bytes a descriptor when written, an id when read. */
function devmapCodec(spec: MapSpec): Codec {
  return {
    size: spec.valueSize,
    encode(value, into) {
      if (value instanceof Uint8Array && value.length === into.length) return into.set(value);
      const given = typeof value === 'number' ? { ifindex: value } : (value as KernelDevmapValue | null);
      const ifindex = given?.ifindex;
      if (typeof ifindex !== 'number' || !Number.isInteger(ifindex) || ifindex < 1)
        throw new MapError('EINVAL', `map "${spec.name}": no ifindex`, {
          expected: 'the number of an interface, or { ifindex, program }',
        });
      const view = new DataView(into.buffer, into.byteOffset);
      view.setUint32(0, ifindex, true);
      if (given?.program === undefined) return;
      if (!(given.program instanceof KernelProgram) || into.length < 8)
        throw new MapError('EINVAL', `map "${spec.name}": a program that it cannot take`, {
          expected: 'a value size of 8, and a program that was loaded into the kernel',
        });
      view.setInt32(4, given.program.fd, true);
    },
    decode: bytes => ({ ifindex: new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) }),
  };
}

/** set() takes the number of an interface or { ifindex, program }; delete() empties the entry. */
export class KernelDevMap extends KeyedMap<number, number | KernelDevmapValue> {
  constructor(spec: MapSpec, place: StorePlace) {
    super(spec, place, { key: indexCodec, value: devmapCodec(spec) });
  }
}
