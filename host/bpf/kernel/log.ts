/**
 * Reads the kernel verifier's log: the decisive line, the instruction it stands at, and the statistics at its end.
 */

export interface LogSummary {
  /** The line that says why, or undefined for an empty log. */
  decisive: string | undefined;
  /** Instruction walked last. */
  insn: number | undefined;
  /** "processed N insns": instructions walked over all paths. */
  processed: number;
  /** Wall time of verification in µs; 0 when the log carries no statistics. */
  timeUs: number;
  states: number;
  peakStates: number;
  /** Bytes of stack by subprogram. */
  stackDepth: number[];
}

/** What may follow the decisive line: statistics, and the two states of an endless loop. */
const AFTERWARDS = /^(processed \d+ insns|verification time|stack depth|mark_precise:|(cur|old) state:|$)/;
/** Some messages of the kernel lack their line break. */
const RUN_ON = /verification time \d+ usec$/;

export function summarize(log: string): LogSummary {
  const number = (pattern: RegExp) => Number(pattern.exec(log)?.[1] ?? 0);
  const lines = log.split('\n').map(line => line.trimEnd());
  let insn: number | undefined;
  for (let i = lines.length - 1; i >= 0 && insn === undefined; i--) {
    const at = /^(\d+): \(/.exec(lines[i]);
    if (at) insn = Number(at[1]);
  }
  return {
    decisive: lines.findLast(line => !AFTERWARDS.test(line))?.replace(RUN_ON, ''),
    insn,
    processed: number(/^processed (\d+) insns/m),
    timeUs: number(/^verification time (\d+) usec/m),
    states: number(/ total_states (\d+)/),
    peakStates: number(/ peak_states (\d+)/),
    stackDepth: (/^stack depth ([\d+]+)/m.exec(log)?.[1] ?? '').split('+').filter(Boolean).map(Number),
  };
}

/** Why a load failed: the program broke a rule, or this kernel could not judge it. */
export type RejectCause = 'safety' | 'environment';

/** Errors that say nothing about the program. EPERM only without a log: the verifier itself uses it for leaks. */
const ENVIRONMENT_ERRNO = [
  'ENOMEM',
  'ENOSPC',
  'EFAULT',
  'EAGAIN',
  'EINTR',
  'ENOSYS',
  'ENOTSUPP',
  'EOPNOTSUPP',
];
/** Lines of a kernel that does not know what the program asks for. */
const ENVIRONMENT_LINE =
  /invalid func unknown#|unknown opcode|kernel subsystem misconfigured|verifier bug|JIT (does not|doesn't) support|calling kernel function .* is not allowed|kernel btf/i;

export function causeOf(errno: string, log: string, insnCount: number): RejectCause {
  if (ENVIRONMENT_ERRNO.includes(errno)) return 'environment';
  if (log.trim() === '') return errno === 'E2BIG' || insnCount === 0 ? 'safety' : 'environment';
  return ENVIRONMENT_LINE.test(log) ? 'environment' : 'safety';
}
