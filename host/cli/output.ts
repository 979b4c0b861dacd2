/**
 * What every command shares: text or JSON on stdout, errors on stderr, exit codes.
 *   0 done · 1 rejected or failed · 2 usage
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import Table from 'cli-table3';
import type { LineInfo } from '../bpf/spec.js';
import { type Rule, VerifierError } from '../bpf/verify/errors.js';
import { EtherloomError } from '../errors.js';

export const EXIT = { DONE: 0, FAILED: 1, USAGE: 2 } as const;

/** Codes of errors in the call itself that only the command can see: exit code 2. */
const USAGE_CODE = /^ERR_USAGE_/;

/** Plain JSON: bigint as a number when exact, else as a decimal string; bytes as hex. */
export function toJson(value: unknown, indent = 2): string {
  return JSON.stringify(
    value,
    (_key, v) => {
      if (typeof v === 'bigint')
        return v >= BigInt(Number.MIN_SAFE_INTEGER) && v <= BigInt(Number.MAX_SAFE_INTEGER)
          ? Number(v)
          : v.toString();
      if (v instanceof Uint8Array) return Buffer.from(v).toString('hex');
      if (v instanceof Map) return Object.fromEntries(v);
      return v;
    },
    indent,
  );
}

/** Whether an error of stdout or stderr says that whoever read it is gone. */
export const isUnread = (error: Error): boolean => (error as NodeJS.ErrnoException).code === 'EPIPE';

/** A reader that has seen enough (`| head`) is no error: what is printed after it goes nowhere. */
export function mayBeUnread(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', error => {
      if (!isUnread(error)) throw error;
    });
}

export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

export interface Column {
  head: string;
  right?: boolean;
}

/** A table with plain borders, the same in every command. */
export function table(columns: readonly Column[], rows: readonly (readonly (string | number)[])[]): string {
  const t = new Table({
    head: columns.map(c => c.head),
    colAligns: columns.map(c => (c.right ? 'right' : 'left')),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) t.push([...row]);
  return t.toString();
}

export interface Rejection {
  rule?: Rule;
  insn?: number;
  reason?: string;
  line?: LineInfo | undefined;
  state?: string;
}

/** What --json says of a rejection, in every command that verifies. */
export function rejection(error: unknown): Rejection {
  if (!(error instanceof VerifierError)) return {};
  const { rule, insn, reason, line, state } = error;
  return { rule, insn, reason, line, state };
}

/** Prints an error as text or JSON and gives the exit code for it. */
export function fail(error: unknown, json: boolean): number {
  const known = error instanceof EtherloomError;
  const code = known ? error.code : ((error as { code?: string }).code ?? 'ERR_INTERNAL');
  const said = (error as Error).message ?? String(error);
  // Node's own begin with their code.
  const message = said.startsWith(`${code}: `) ? said.slice(code.length + 2) : said;
  const program = error instanceof VerifierError ? error.program : undefined;
  if (json) {
    const place = known
      ? { file: error.file, offset: error.offset, path: error.path, expected: error.expected }
      : {};
    print(toJson({ error: { code, program, message, ...place, ...rejection(error) } }));
  } else
    process.stderr.write(`etherloom: ${code}: ${program === undefined ? '' : `${program}: `}${message}\n`);
  if (!known && code === 'ERR_INTERNAL' && process.env.ETHERLOOM_DEBUG)
    process.stderr.write(`${(error as Error).stack}\n`);
  return known && USAGE_CODE.test(code) ? EXIT.USAGE : EXIT.FAILED;
}

function writing<T>(file: string, expected: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new EtherloomError('ERR_FILE_WRITE', `cannot write: ${(cause as Error).message}`, {
      file,
      cause,
      expected,
    });
  }
}

/** Writes a file that a user asked for. @throws EtherloomError ERR_FILE_WRITE */
export function writeOutput(file: string, bytes: Uint8Array): void {
  writing(file, 'a writable file', () => writeFileSync(file, bytes));
}

/**
 * Finds out whether a file that is written at the end of a long command can be: it is there afterwards, as it was.
 * @throws EtherloomError ERR_FILE_WRITE
 */
export function tryOutput(file: string): void {
  writing(file, 'a writable file', () => closeSync(openSync(file, 'a')));
}

/** A text that a user named; `-`: standard input. @throws EtherloomError ERR_FILE_READ */
export function readInput(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new EtherloomError('ERR_FILE_READ', `cannot read it: ${code}`, {
      file: file === '-' ? 'standard input' : file,
      cause,
      expected: 'a readable file',
    });
  }
}

/** Makes a folder that a user asked for, if it is not there. @throws EtherloomError ERR_FILE_WRITE */
export function makeFolder(folder: string): void {
  writing(folder, 'a folder that can be made', () => mkdirSync(folder, { recursive: true }));
}
