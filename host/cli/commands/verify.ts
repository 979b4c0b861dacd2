/** etherloom verify: a verdict per program, the decisive line first, instructions processed and time. */
import { chooseProgram, openObject } from '../../bpf/open.js';
import { isRunnable } from '../../bpf/program_types.js';
import type { ProgramSpec } from '../../bpf/spec.js';
import { VerifierError, verify } from '../../bpf/verify/verify.js';
import { EtherloomError } from '../../errors.js';
import { asProgram, migrates } from '../../transports/upgrade/migration.js';
import { EXIT, print, type Rejection, rejection, toJson } from '../output.js';

export interface VerifyOptions {
  program?: string;
  log?: boolean;
  json?: boolean;
}

interface Verdict {
  program: string;
  type: string;
  section?: string;
  insns: number;
  verdict: 'accepted' | 'rejected' | 'not verified';
  processed?: number;
  states?: number;
  timeUs?: number;
  stackDepth?: number[];
  notes?: readonly string[];
  error?: Rejection & { code: string; message: string };
  log?: string;
}

function judge(spec: ProgramSpec, log: boolean): Verdict {
  const head = { program: spec.name, type: spec.type, section: spec.section, insns: spec.insns.length };
  const migration = migrates(spec) !== undefined;
  if (!migration && !isRunnable(spec.type)) {
    const message = `programs of section "${spec.section}" are not of a type that this engine runs`;
    return { ...head, verdict: 'not verified', error: { code: 'ERR_PROGRAM_TYPE', message } };
  }
  try {
    const verified = verify(migration ? asProgram(spec) : spec, { log: log ? 2 : 0 });
    const { processed, states, timeUs, stackDepth } = verified.stats;
    return {
      ...head,
      verdict: 'accepted',
      processed,
      states,
      timeUs,
      stackDepth,
      notes: verified.notes,
      ...(log ? { log: verified.log } : {}),
    };
  } catch (error) {
    if (!(error instanceof EtherloomError)) throw error;
    const spent = error instanceof VerifierError ? { processed: error.processed, timeUs: error.timeUs } : {};
    return {
      ...head,
      ...spent,
      verdict: 'rejected',
      error: { code: error.code, message: error.message, ...rejection(error) },
      ...(log && error instanceof VerifierError ? { log: error.log } : {}),
    };
  }
}

function describe(v: Verdict): string {
  const lines: string[] = [];
  const work =
    v.processed === undefined
      ? ''
      : `${v.insns} instructions, ${v.processed} processed, ${((v.timeUs ?? 0) / 1000).toFixed(2)} ms`;
  if (v.error)
    lines.push(
      `${v.program}: ${v.verdict.toUpperCase()}: ${v.error.message}${work ? `\n    (${work})` : ''}`,
    );
  else {
    lines.push(`${v.program}: accepted: ${work}, ${v.states} states, stack ${v.stackDepth!.join('+')} B`);
    for (const note of v.notes ?? []) lines.push(`  note: ${note}`);
  }
  if (v.log) lines.push(v.log);
  return lines.join('\n');
}

export function verifyObject(path: string, options: VerifyOptions): number {
  const object = openObject(path);
  const chosen = options.program ? [chooseProgram(object, options.program)] : Object.values(object.programs);
  if (chosen.length === 0) chooseProgram(object);
  const verdicts = chosen.map(p => judge(p, options.log ?? false));
  print(options.json ? toJson({ file: path, programs: verdicts }) : verdicts.map(describe).join('\n'));
  return verdicts.every(v => v.verdict === 'accepted') ? EXIT.DONE : EXIT.FAILED;
}
