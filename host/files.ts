/** Reading files that a user named: objects (bpf/open.ts) and JSON (json.ts). */
import { readFileSync, statSync } from 'node:fs';
import { EtherloomError } from './errors.js';

/**
 * The whole of a regular file of at most `most` bytes. A device has no end, and a FIFO nobody may ever write to.
 * @throws EtherloomError ERR_FILE_KIND; what node:fs throws when it is not there or not readable
 */
export function readRegular(file: string, most: number): Buffer {
  const stat = statSync(file);
  if (stat.size > most || !stat.isFile())
    throw new EtherloomError(
      'ERR_FILE_KIND',
      stat.size > most ? `${stat.size} bytes are too many` : 'it is no regular file',
      { file, expected: `a file of at most ${most} bytes` },
    );
  return readFileSync(file);
}
