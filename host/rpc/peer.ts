/** Somebody who is called: made once by `peer(address, port)`, so that a call finds what its carrier knows of it. */
import { formatIp, parseIp } from '../wire/address.js';

export class RpcPeer {
  /** What each carrier keeps of it, by the carrier's index. */
  readonly places: unknown[] = [];
  readonly address: string;

  /** @throws EtherloomError ERR_ADDRESS */
  constructor(
    address: string,
    readonly port: number,
  ) {
    this.address = formatIp(parseIp(address));
  }
}
