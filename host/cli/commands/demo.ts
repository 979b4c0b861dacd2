/**
 * etherloom demo, `npm start`: the main job. Every program of bpf-progs/ over the committed capture of real traffic,
 * on two lanes behind a model link, the shared-memory NIC; each outcome a pcap, one table at the end. Then those pcaps by
 * HTTP, from servers behind firewall and load balancer (demo_web.ts).
 */
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readMapConfig } from '../../bpf/config.js';
import { openObject } from '../../bpf/open.js';
import { type CaptureRun, MEASURED_PATH, runCapture } from '../../engine/capture_run.js';
import { EXIT, makeFolder, print, table, toJson } from '../output.js';
import { progressBar } from '../progress.js';
import { curlLines, fetchWeb, serveWeb, tellCurl, tellWeb } from './demo_web.js';
import { counts } from './run.js';

const PROGRAMS = fileURLToPath(new URL('../../../bpf-progs', import.meta.url));
const CAPTURE = fileURLToPath(
  new URL('../../../tests/fixtures/capture/real-traffic.pcapng', import.meta.url),
);

export interface DemoOptions {
  in?: string;
  out: string;
  lanes: number;
  packets: number;
  /** Where clients are, for the second half only. */
  nic?: string;
  duration?: number;
  quiet?: boolean;
  json?: boolean;
}

/** Folders of programs that received packets go through; those of transports make packets of their own. */
const RECEIVING = ['filters', 'nic'];

/** Every program that received packets go through. */
function receivingPrograms(): { stem: string; file: string; program: string }[] {
  return RECEIVING.flatMap(folder => readdirSync(join(PROGRAMS, folder), { withFileTypes: true }))
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name)
    .sort()
    .flatMap(stem => {
      const file = join(PROGRAMS, 'obj', `${stem}.bpf.o`);
      return Object.keys(openObject(file).programs).map(program => ({ stem, file, program }));
    });
}

export async function demo(options: DemoOptions): Promise<number> {
  const { nic, ...rest } = options;
  if (nic !== undefined) return serveWeb({ ...rest, nic });
  const capture = options.in ?? CAPTURE;
  const jobs = receivingPrograms();
  makeFolder(options.out);
  const runs: CaptureRun[] = [];
  const bar = progressBar(options.quiet || options.json, jobs[0].program);
  try {
    for (const [i, { stem, file, program }] of jobs.entries()) {
      const config = join(PROGRAMS, 'filters', stem, 'config.json');
      runs.push(
        await runCapture({
          object: file,
          program,
          in: capture,
          out: join(options.out, `${program}.pcap`),
          lanes: options.lanes,
          speedPackets: options.packets,
          progress: done => bar.update((i + done) / jobs.length, program),
          ...(existsSync(config) ? { config: readMapConfig(config) } : {}),
        }),
      );
    }
  } finally {
    bar.stop();
  }
  const written = runs.map(r => r.out!);
  if (!options.json) tellRuns(options, capture, runs);
  const web = await fetchWeb(options.out, written);
  const largest = runs.reduce((a, b) => (b.written > a.written ? b : a)).out!;
  if (options.json) {
    const curl = curlLines(options.out, largest);
    print(toJson({ capture, lanes: options.lanes, measured: MEASURED_PATH, runs, web, curl }));
  } else {
    print(
      `\n${relative('.', options.out) || '.'} again, by HTTP on the engine's own TCP: a client, the stages below and four servers, on shared-memory links`,
    );
    tellWeb(web);
    tellCurl(options.out, largest);
  }
  return runs.some(r => r.report.crashes.length) || web.faults.length ? EXIT.FAILED : EXIT.DONE;
}

function tellRuns(options: DemoOptions, capture: string, runs: readonly CaptureRun[]): void {
  print(
    `${relative('.', capture)}: ${runs[0].packets} packets through each program, ${options.lanes} lanes; in and out over model links, the shared-memory NIC`,
  );
  print(
    table(
      [
        { head: 'program' },
        { head: 'type' },
        { head: 'packets', right: true },
        { head: 'verdicts' },
        { head: 'Mpps', right: true },
        { head: 'ns/packet', right: true },
        { head: 'output' },
      ],
      runs.map(r => [
        r.program,
        r.type,
        r.packets,
        counts(r.verdicts),
        r.speed ? r.speed.mpps.toFixed(2) : '',
        r.speed ? r.speed.nsPerPacket.toFixed(1) : '',
        `${r.written} in ${relative('.', r.out!)}`,
      ]),
    ),
  );
  print(
    `Mpps, ns/packet: ${options.packets} packets of the capture by the clock on the wall, all lanes together; the way of each: ${MEASURED_PATH}.\n` +
      'Programs that keep state between flows (nat, port_knock) may say otherwise by some packets from run to run: lanes are not ordered.',
  );
}
