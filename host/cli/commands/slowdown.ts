/** etherloom slowdown: files of dump_times as a table and a drawing of slowdown by message length. */
import { basename } from 'node:path';
import { slowdownSvg } from '../../apps/cp/slowdown_svg.js';
import { binsOfLengths, leastUs, readTimes, slowdownsOf } from '../../apps/cp/times.js';
import { EtherloomError } from '../../errors.js';
import { EXIT, print, readInput, toJson, writeOutput } from '../output.js';

export interface SlowdownOptions {
  mbps: number;
  base?: string;
  svg?: string;
  json?: boolean;
}

export function slowdown(files: readonly string[], { mbps, base, svg, json }: SlowdownOptions): number {
  const inputs = [...files, ...(base === undefined ? [] : [base])];
  if (inputs.filter(path => path === '-').length > 1)
    throw new EtherloomError('ERR_USAGE_ARGUMENT', 'standard input is named more than once', {
      expected: 'one - among the files and --base',
    });
  const nameOf = (path: string): string => (path === '-' ? 'standard input' : path);
  const read = (path: string) => readTimes(readInput(path), nameOf(path));
  const all = files.map(path => ({ name: basename(nameOf(path)), times: read(path) }));
  const bins = binsOfLengths(all.flatMap(({ times }) => times.lengths));
  const alone = base === undefined ? undefined : leastUs(read(base));
  const curves = all.map(({ name, times }) => {
    const rttUs = alone ?? leastUs(times);
    return { name, rttUs, results: slowdownsOf(times, bins, { rttUs, mbps }) };
  });
  if (json) print(toJson({ mbps, files: curves }));
  else
    for (const { name, rttUs, results } of curves) {
      print(`${name}: best possible time ${rttUs.toFixed(2)} us + length * 8 / ${mbps}`);
      print('  length up to   messages       p50       p99     p99.9');
      for (const r of results)
        print(
          `  ${String(r.to).padStart(12)} ${String(r.count).padStart(10)} ` +
            [r.p50, r.p99, r.p999].map(n => n.toFixed(2).padStart(9)).join(' '),
        );
    }
  if (svg !== undefined) writeOutput(svg, Buffer.from(slowdownSvg(curves)));
  return EXIT.DONE;
}
