/** Prints the packets of a NIC: `trace(nic, { filter: p => …, limit: 100 })`, as tcpdump would, one line each. */
import { printLine, printNested } from '../../wire/frame.js';
import type { Nic } from '../nic.js';
import { type Direction, Wrapper } from './wrapper.js';

export interface TraceOptions {
  /** Takes each text. Default: standard error, so that a program's output stays clean. */
  print?: (text: string) => void;
  /** Which packets to print. The bytes are good during the call only. Default: all. */
  filter?: (data: Uint8Array, direction: Direction) => boolean;
  /** Packets to print in all; the rest pass in silence. Default: no limit. */
  limit?: number;
  /** `line`: one line a packet. `nested`: one line a header. `dump`: the same and the bytes. Default `line`. */
  style?: 'line' | 'nested' | 'dump';
}

const STYLES: Record<NonNullable<TraceOptions['style']>, (data: Uint8Array) => string> = {
  line: printLine,
  nested: data => `\n${printNested(data)}`,
  dump: data => `\n${printNested(data, true)}`,
};

/** `1.000002500 eth0 < IP 10.0.0.1 > …`: seconds of the engine's clock, port, `<` in or `>` out. */
export class TraceNic extends Wrapper {
  /** Packets printed so far. */
  printed = 0;
  /** Packets that the filter let through after the limit was reached. */
  suppressed = 0;

  constructor(
    inner: Nic,
    readonly options: TraceOptions = {},
  ) {
    super(inner);
  }

  protected override handle(direction: Direction, data: Uint8Array): 1 {
    const { print = t => process.stderr.write(`${t}\n`), filter, limit, style = 'line' } = this.options;
    if (filter && !filter(data, direction)) return 1;
    if (limit !== undefined && this.printed >= limit) {
      this.suppressed++;
      return 1;
    }
    this.printed++;
    const now = this.env.now();
    const time = `${now / 1_000_000_000n}.${String(now % 1_000_000_000n).padStart(9, '0')}`;
    print(`${time} ${this.name} ${direction === 'rx' ? '<' : '>'} ${STYLES[style](data)}`);
    return 1;
  }
}

/** Wraps a NIC so that its packets are printed. */
export const trace = (nic: Nic, options?: TraceOptions): TraceNic => new TraceNic(nic, options);
