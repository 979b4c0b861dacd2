/** Somebody who is called: made once by `peer(address, port)`, so that a call finds what its carrier knows of it. */
import { formatIp, parseIp } from '../wire/address.js';

export class RpcPeer {
  /** What each carrier keeps of it, by the carrier's index. */
  readonly places: unknown[] = [];
  /** It was asked for again since peers were last forgotten. */
  used = false;
  readonly address: string;
  /** The address in words as they lie in memory: IPv4 in the first, the others 0. */
  readonly family: 4 | 6;
  readonly words: readonly [number, number, number, number];

  /** @throws EtherloomError ERR_ADDRESS */
  constructor(
    address: string,
    readonly port: number,
  ) {
    const bytes = parseIp(address);
    this.address = formatIp(bytes);
    this.family = bytes.length === 4 ? 4 : 6;
    const dv = new DataView(new ArrayBuffer(16));
    for (const [i, b] of bytes.entries()) dv.setUint8(i, b);
    this.words = [0, 4, 8, 12].map(at => dv.getUint32(at, true)) as [number, number, number, number];
  }
}
