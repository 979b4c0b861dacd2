/** What runs beside what: a shorter run of all tests must not be one that fails now and then. */
import { fileURLToPath } from 'node:url';
import { type Kind, kindOf, schedule } from './schedule.js';
import { assert, suite } from './support/suite.js';

const test = suite('tests: schedule');
const ROOT = fileURLToPath(new URL('.', import.meta.url));

interface Job {
  kind: Kind;
  turns: number;
}

/** Runs jobs of so many turns of the event loop; which ran at the same time, by their first letters, at each start. */
async function starts(jobs: readonly Job[], cpus: number): Promise<string[]> {
  const running: Job[] = [];
  const seen: string[] = [];
  const run = async (job: Job): Promise<void> => {
    running.push(job);
    seen.push(running.map(j => j.kind[0]).join(''));
    for (let i = 0; i < job.turns; i++) await new Promise(next => setImmediate(next));
    running.splice(running.indexOf(job), 1);
  };
  await schedule(jobs, run, cpus);
  return seen;
}

const job = (kind: Kind, turns: number): Job => ({ kind, turns });
const JOBS = [
  job('patient', 4),
  job('alone', 3),
  job('timed', 9),
  job('patient', 3),
  job('timed', 5),
  job('patient', 30),
  job('patient', 20),
];

test('two CPUs: timed jobs one at a time, one patient beside, two when none is timed any more', async () => {
  const seen = await starts(JOBS, 2);
  assert.is(seen.length, JOBS.length, 'all ran');
  assert.equal(seen.slice(0, 3), ['t', 'tp', 'tp']);
  for (const s of seen) assert.ok(/^(t|tp|pt|p|pp|a)$/.test(s), s);
  assert.ok(seen.includes('pp'));
  assert.is(seen.at(-1), 'a', 'nothing beside what is to be alone');
});

test('one CPU: one job at a time', async () => {
  assert.equal(await starts(JOBS, 1), ['t', 't', 'p', 'p', 'p', 'p', 'a']);
});

test('many CPUs: still one timed job, and no more than four patient ones', async () => {
  const seen = await starts([...JOBS, job('patient', 9), job('patient', 9)], 64);
  assert.is(seen.length, JOBS.length + 2);
  const most = (kind: string): number => Math.max(...seen.map(s => s.split(kind).length - 1));
  assert.equal([most('t'), most('p'), most('a')], [1, 4, 1]);
});

test('a job that fails to run is not swallowed', async () => {
  const jobs = [job('patient', 1), job('timed', 1)];
  const failed = await schedule(jobs, () => Promise.reject(new Error('no process'))).then(
    () => '',
    (e: Error) => e.message,
  );
  assert.is(failed, 'no process');
});

test('who is not named is timed; a folder can be named as well as a file; who is to be alone is, in whatever folder', () => {
  const kind = (name: string): Kind => kindOf(ROOT, `${ROOT}${name}.test.ts`);
  assert.equal(
    ['wire/tcp', 'wires/tcp', 'tcp/laws', 'tcp/lanes', 'tcp/attack/blind', 'tcp/attack/flood'].map(kind),
    ['patient', 'timed', 'patient', 'timed', 'patient', 'alone'],
  );
});
