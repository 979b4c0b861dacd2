/** etherloom slowdown: files of dump_times as a table and a drawing of slowdown by message length. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { slowdownSvg } from '../../apps/cp/slowdown_svg.js';
import { binsOfLengths, leastUs, readTimes, slowdownsOf } from '../../apps/cp/times.js';
import { EXIT, print, toJson, writeOutput } from '../output.js';

export interface SlowdownOptions {
  mbps: number;
  base?: string;
  svg?: string;
  json?: boolean;
}

export function slowdown(files: readonly string[], { mbps, base, svg, json }: SlowdownOptions): number {
  const read = (path: string) => readTimes(readFileSync(path, 'utf8'), path);
  const all = files.map(path => ({ name: basename(path), times: read(path) }));
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
