/** Reads capture files from disk, a chunk at a time. */
import { closeSync, openSync, readSync } from 'node:fs';
import { EtherloomError } from '../../errors.js';
import type { CapturedPacket } from './packet.js';
import { CaptureParser } from './parser.js';

const CHUNK_BYTES = 256 * 1024;

export class CaptureReader implements Iterable<CapturedPacket> {
  readonly parser: CaptureParser;
  #fd: number | undefined;

  /** @throws EtherloomError ERR_PCAP_FILE when the file cannot be opened. */
  constructor(readonly file: string) {
    this.parser = new CaptureParser(file);
    try {
      this.#fd = openSync(file, 'r');
    } catch (cause) {
      throw new EtherloomError('ERR_PCAP_FILE', `cannot open the capture: ${(cause as Error).message}`, {
        file,
        expected: 'a readable pcap or pcapng file',
        cause,
      });
    }
  }

  /** The next packet, undefined at the end. @throws EtherloomError ERR_PCAP_*, ERR_PCAPNG_*; the file is then closed. */
  next(): CapturedPacket | undefined {
    try {
      for (;;) {
        const packet = this.parser.next();
        if (packet || this.#fd === undefined) return packet;
        const chunk = new Uint8Array(CHUNK_BYTES);
        const n = this.#read(chunk);
        if (n > 0) this.parser.push(chunk.subarray(0, n));
        else {
          this.close();
          this.parser.end();
        }
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  *[Symbol.iterator](): Generator<CapturedPacket, void> {
    try {
      for (let packet = this.next(); packet; packet = this.next()) yield packet;
    } finally {
      this.close();
    }
  }

  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  #read(into: Uint8Array): number {
    try {
      return readSync(this.#fd!, into);
    } catch (cause) {
      throw new EtherloomError('ERR_PCAP_FILE', `cannot read the capture: ${(cause as Error).message}`, {
        file: this.file,
        expected: 'a readable pcap or pcapng file',
        cause,
      });
    }
  }
}

/** All packets of a capture file, read as they are asked for. @throws EtherloomError ERR_PCAP_*, ERR_PCAPNG_* */
export function readCapture(file: string): Iterable<CapturedPacket> {
  return new CaptureReader(file);
}
