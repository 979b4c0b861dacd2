/**
 * The pcap that a capture run writes: in the order of capture times whichever lane was first, and whole or not at all.
 * It grows beside the file and takes its place at the end, so that a run that fails leaves an older one as it was.
 */
import { renameSync, rmSync, statSync } from 'node:fs';
import { EtherloomError } from '../errors.js';
import { PcapWriter } from '../nic/pcap/index.js';

/** Bytes held for sorting; a larger capture comes out in sorted runs. */
const HELD_BYTES = 256 << 20;

class TimeOrdered extends PcapWriter {
  readonly #held: { data: Uint8Array; ns: bigint; original: number }[] = [];
  #bytes = 0;

  override write(data: Uint8Array, timestampNs: bigint, originalLength = data.length): void {
    this.#held.push({ data: data.slice(), ns: timestampNs, original: originalLength });
    this.#bytes += data.length;
    if (this.#bytes > HELD_BYTES) this.#spill();
  }

  #spill(): void {
    this.#held.sort((a, b) => (a.ns < b.ns ? -1 : a.ns > b.ns ? 1 : 0));
    for (const p of this.#held) super.write(p.data, p.ns, p.original);
    this.#held.length = 0;
    this.#bytes = 0;
  }

  override close(): void {
    this.#spill();
    super.close();
  }
}

export interface CaptureOutput {
  readonly writer: PcapWriter;
  /** Closes it and gives it its name. */
  keep(): void;
  discard(): void;
}

/**
 * @throws EtherloomError ERR_CAPTURE_SAME when `file` is the capture that is read, ERR_PCAP_FILE when it cannot be made
 */
export function createOutput(input: string, file: string): CaptureOutput {
  const [a, b] = [input, file].map(f => statSync(f, { throwIfNoEntry: false }));
  if (a && b && a.dev === b.dev && a.ino === b.ino)
    throw new EtherloomError('ERR_CAPTURE_SAME', 'the output would overwrite the capture that is read', {
      file,
      expected: 'another file',
    });
  // A device or a pipe cannot be replaced: it is written as it is.
  const inPlace = b !== undefined && !b.isFile();
  const path = inPlace ? file : `${file}.part`;
  const plain = PcapWriter.create(path, {}, file);
  const writer = new TimeOrdered(plain.sink, {}, file, plain.finish);
  return {
    writer,
    keep() {
      writer.close();
      if (!inPlace) renameSync(path, file);
    },
    discard() {
      writer.close();
      if (!inPlace) rmSync(path, { force: true });
    },
  };
}
