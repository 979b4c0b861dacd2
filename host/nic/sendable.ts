/** What every NIC looks at before the host's packet goes into a frame: one check, whatever the kind of its far side. */
import { EtherloomError } from '../errors.js';
import { MAX_PACKET } from './port.js';

/**
 * @throws EtherloomError ERR_NIC_CLOSED after the engine was stopped: nobody would take the packet; ERR_NIC_PACKET for
 * what is no Uint8Array, or fits no frame
 */
export function checkSend(name: string, closed: boolean, bytes: unknown): asserts bytes is Uint8Array {
  if (closed) throw new EtherloomError('ERR_NIC_CLOSED', `send on ${name} after its engine was stopped`);
  if (!(bytes instanceof Uint8Array))
    throw new EtherloomError('ERR_NIC_PACKET', `a packet that is ${bytes === null ? 'null' : typeof bytes}`, {
      expected: 'a Uint8Array',
    });
  if (bytes.length > MAX_PACKET)
    throw new EtherloomError('ERR_NIC_PACKET', `a packet of ${bytes.length} bytes`, {
      expected: `at most ${MAX_PACKET} bytes`,
    });
}
