/** Reading files that a user named: objects (bpf/open.ts) and JSON (json.ts). */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { EtherloomError } from './errors.js';

/**
 * The whole of a regular file of at most `most` bytes. A device has no end, and a FIFO nobody may ever write to.
 * @throws EtherloomError ERR_FILE_KIND; what node:fs throws when it is not there or not readable
 */
export function readRegular(file: string, most: number): Buffer {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (stat.size > most || !stat.isFile())
      throw new EtherloomError(
        'ERR_FILE_KIND',
        stat.size > most ? `${stat.size} bytes are too many` : 'it is no regular file',
        { file, expected: `a file of at most ${most} bytes` },
      );
    // No more than it says that it has: some of the kernel's, like /proc/kmsg, say none, and have no end either.
    const bytes = Buffer.alloc(stat.size);
    let at = 0;
    for (let n = 1; n > 0 && at < bytes.length; at += n) n = readSync(fd, bytes, at, bytes.length - at, at);
    return bytes.subarray(0, at);
  } finally {
    closeSync(fd);
  }
}
