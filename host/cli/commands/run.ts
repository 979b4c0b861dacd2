/** etherloom run: a capture through one program. */
import { readMapConfig } from '../../bpf/config.js';
import { type CaptureRun, runCapture } from '../../engine/capture_run.js';
import { EXIT, print, table, toJson } from '../output.js';
import { progressBar } from '../progress.js';

export interface RunOptions {
  program?: string;
  in: string;
  out?: string;
  lanes: number;
  config?: string;
  repeat: number;
  quiet?: boolean;
  json?: boolean;
}

export const counts = (record: Record<string, number>): string =>
  Object.entries(record)
    .map(([name, n]) => `${name} ${n}`)
    .join(', ') || '–';

function describe(r: CaptureRun): string {
  const rows = [
    ['program', `${r.program} (${r.type})`],
    ['packets', `${r.packets}${r.oversized ? `, ${r.oversized} longer than a frame left out` : ''}`],
    ['verdicts', counts(r.verdicts)],
    ['drops', counts(r.drops)],
    ['lanes', r.report.lanes.map(l => `${l.lane}: ${l.packets} packets`).join(', ')],
    ['frames', `${r.report.ledger.total} in all, every one accounted for`],
    ['output', r.out ? `${r.written} packets in ${r.out}` : 'none asked for (--out FILE)'],
  ];
  return table([{ head: 'what' }, { head: 'value' }], rows);
}

export async function run(object: string, options: RunOptions): Promise<number> {
  const bar = progressBar(options.quiet || options.json, 'replaying');
  try {
    const result = await runCapture({
      object,
      in: options.in,
      lanes: options.lanes,
      rounds: options.repeat,
      progress: bar.update,
      ...(options.program ? { program: options.program } : {}),
      ...(options.out ? { out: options.out } : {}),
      ...(options.config ? { config: readMapConfig(options.config) } : {}),
    });
    bar.stop();
    print(options.json ? toJson(result) : describe(result));
    return result.report.crashes.length ? EXIT.FAILED : EXIT.DONE;
  } finally {
    bar.stop();
  }
}
