/** Writes the packets of a NIC to a pcap file while it works: `capture(nic, { file: 'out.pcap' })`. */
import type { Nic } from '../nic.js';
import { PcapWriter, type PcapWriterOptions } from '../pcap/writer.js';
import { type Direction, Wrapper } from './wrapper.js';

export interface CaptureOptions extends PcapWriterOptions {
  /** File to be made, or a writer that stays open. */
  file: string | PcapWriter;
  /** Only packets of this direction. Default: both. */
  direction?: Direction;
  /** Which packets to write. The bytes are good during the call only. Default: all. */
  filter?: (data: Uint8Array, direction: Direction) => boolean;
}

/** Packets bear the engine's clock at the time they pass the host. */
export class CaptureNic extends Wrapper {
  readonly writer: PcapWriter;

  /** @throws EtherloomError ERR_PCAP_FILE when the file cannot be made. */
  constructor(
    inner: Nic,
    readonly options: CaptureOptions,
  ) {
    super(inner);
    const { file } = options;
    this.writer = typeof file === 'string' ? PcapWriter.create(file, options) : file;
  }

  protected override handle(direction: Direction, data: Uint8Array): 1 {
    const { direction: only, filter } = this.options;
    if ((!only || only === direction) && (!filter || filter(data, direction)))
      this.writer.write(data, this.env.now());
    return 1;
  }

  override async close(): Promise<void> {
    await super.close();
    if (typeof this.options.file === 'string') this.writer.close();
    else this.writer.flush();
  }
}

/** Wraps a NIC so that its packets are written to a pcap file. */
export const capture = (nic: Nic, options: CaptureOptions): CaptureNic => new CaptureNic(nic, options);
