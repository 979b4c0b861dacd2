/**
 * Which tests may run beside others, and what runs next. tests/run.ts asks.
 *
 *   timed    they look at the real clock, talk to real peers or run lanes that spin: one part at a time, as ever
 *   patient  all that happens to them when they get less of a CPU is that they take longer: beside timed ones, at low
 *            priority, so that the timed ones hardly notice; their time limits are longer by PATIENCE
 *   alone    they compare throughputs: nothing beside them
 *
 * A test is timed unless it is named here.
 */
import { availableParallelism } from 'node:os';
import { relative, sep } from 'node:path';

export type Kind = 'timed' | 'patient' | 'alone';

/** Factor on the time limits of patient tests: what is beside them may be at every CPU for a while. */
export const PATIENCE = 6;
/** What `nice` adds for them: a ninth of what others get, not nothing. */
export const NICENESS = 10;

/**
 * Folders, and files without .test.ts. Their engines are inline, mostly in virtual time; processes that they start are
 * waited for however long they take. Worker lanes are in none of them but those of a few lines of the CLI, which nobody times.
 */
const PATIENT = [
  'asm',
  'bpf/corpus',
  'bpf/helpers',
  'bpf/kfuncs',
  'bpf/random',
  'bpf/struct_ops',
  'bpf/verify',
  'cc',
  'cli/cli',
  'cli/forward',
  'cli/nic_spec',
  'cli/usage',
  'conformance/conformance',
  'elf',
  'etran/tcp',
  'forward/backends',
  'forward/chain',
  'forward/config',
  'forward/engines',
  'forward/flows',
  'forward/responder',
  'forward/segments',
  'fuzz',
  'homa',
  'interp',
  'jit',
  'layout',
  'own/load',
  'own/object',
  'own/window',
  'progs/capture',
  'progs/filters',
  'progs/objects',
  'progs/xsk_redirect',
  'rpc/contract',
  'stack/connections',
  'stack/errors',
  'stack/listeners',
  'stack/memory',
  'stack/networks',
  'swap/homa',
  'swap/records',
  'tcp/ahead',
  'tcp/attack',
  'tcp/congestion',
  'tcp/incast',
  'tcp/laws',
  'tcp/pmtu',
  'tcp/scripts',
  'tcp/sweep',
  'tcp/transfer',
  'tcp/windows',
  'schedule',
  'wire',
];

/** A share of what was moved in the second before: who takes a CPU in one of the two changes it. */
const ALONE = ['tcp/attack/flood'];

/** The kind of a test file. @param root the folder tests/ */
export function kindOf(root: string, file: string): Kind {
  const name = relative(root, file)
    .split(sep)
    .join('/')
    .replace(/\.test\.ts$/, '');
  const within = (list: readonly string[]): boolean => list.some(p => name === p || name.startsWith(`${p}/`));
  return within(ALONE) ? 'alone' : within(PATIENT) ? 'patient' : 'timed';
}

/** Names above that no test has. */
export const unknownNames = (root: string, files: readonly string[]): string[] =>
  [...PATIENT, ...ALONE].filter(
    p => !files.some(f => [`${p}.test.ts`, `${p}/`].some(s => `${relative(root, f)}`.startsWith(s))),
  );

/** Most patient jobs at a time: every CPU but one while a timed job runs. More than four would only need memory. */
const beside = (cpus: number, timed: boolean): number => Math.min(4, cpus - (timed ? 1 : 0));

/**
 * Runs jobs as their kinds allow: timed ones one after another, patient ones beside them, and at the end those that are
 * to be alone. Of a kind they begin in the order given.
 */
export async function schedule<J extends { kind: Kind }>(
  jobs: readonly J[],
  run: (job: J) => Promise<void>,
  cpus = availableParallelism(),
): Promise<void> {
  const of = (kind: Kind): J[] => jobs.filter(j => j.kind === kind);
  const [timed, patient, alone] = [of('timed'), of('patient'), of('alone')];
  const running = new Map<J, Promise<void>>();
  const start = (job: J): void => {
    running.set(
      job,
      run(job).finally(() => running.delete(job)),
    );
  };
  const now = (kind: Kind): number => [...running.keys()].filter(j => j.kind === kind).length;
  for (;;) {
    if (timed.length && !now('timed')) start(timed.shift()!);
    while (patient.length && now('patient') < beside(cpus, now('timed') > 0)) start(patient.shift()!);
    // With one CPU a patient job has its turn when no timed one is left.
    if (!running.size && alone.length) start(alone.shift()!);
    if (!running.size) return;
    await Promise.race(running.values());
  }
}
