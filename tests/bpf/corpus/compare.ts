/**
 * Our verifier beside the kernel, program by program, and the committed table of where they differ (differences.md).
 *   tsx tests/bpf/corpus/compare.ts [--write]    prints the differences; --write renews the table, keeping reasons
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { VerifierError, verify } from '../../../host/bpf/verify/verify.js';
import { type Entry, FOLDER, readCorpus } from './entry.js';

/** Programs rejected here that the kernel accepts may be this share of those it accepts. */
export const STRICTER_SHARE = 0.03;
const TABLE = `${FOLDER}differences.md`;
export const NO_REASON = 'not explained yet';

export interface OurVerdict {
  accepted: boolean;
  /** Instructions processed; undefined for a rejection. */
  processed?: number;
  rule?: string;
  reason?: string;
  insn?: number;
}

export function ourVerdict(entry: Entry): OurVerdict {
  try {
    return { accepted: true, processed: verify(entry.spec).stats.processed };
  } catch (error) {
    if (!(error instanceof VerifierError)) throw error;
    return { accepted: false, rule: error.rule, reason: error.reason, insn: error.insn };
  }
}

export interface Difference {
  rule: string;
  claim: string;
  kernel: 'accept' | 'reject';
  /** What decided it on the rejecting side. */
  line: string;
  /** Why it is so, in the committed table. */
  reason?: string;
}

export interface Comparison {
  programs: number;
  kernelAccepts: number;
  differences: Difference[];
  /** Of the programs that both accept: how many processed exactly as many instructions. */
  bothAccept: number;
  sameProcessed: number;
  /** Instructions processed by both, over those programs. */
  ours: number;
  kernels: number;
  /** Of the programs that both reject at an instruction: how many at the same one. */
  bothReject: number;
  sameInsn: number;
}

export function compare(entries: readonly Entry[]): Comparison {
  const result: Comparison = {
    programs: entries.length,
    kernelAccepts: 0,
    differences: [],
    bothAccept: 0,
    sameProcessed: 0,
    ours: 0,
    kernels: 0,
    bothReject: 0,
    sameInsn: 0,
  };
  for (const entry of entries) {
    const kernel = entry.recorded!;
    const ours = ourVerdict(entry);
    if (kernel.accepted) result.kernelAccepts++;
    if (kernel.accepted !== ours.accepted) {
      const line = kernel.accepted ? `${ours.rule}: ${ours.reason}` : `${kernel.errno}: ${kernel.line}`;
      result.differences.push({
        rule: entry.rule,
        claim: entry.claim,
        kernel: kernel.accepted ? 'accept' : 'reject',
        line,
      });
    } else if (ours.accepted) {
      result.bothAccept++;
      result.ours += ours.processed!;
      result.kernels += kernel.processed;
      if (ours.processed === kernel.processed) result.sameProcessed++;
    } else if (kernel.insn !== undefined) {
      result.bothReject++;
      if (ours.insn === kernel.insn) result.sameInsn++;
    }
  }
  return result;
}

const cell = (text: string) => text.replaceAll('|', '\\|').replace(/\s+/g, ' ').trim();

/** The committed table, without the column that only informs. */
export function readTable(): Difference[] {
  return readFileSync(TABLE, 'utf8')
    .split('\n')
    .filter(line => line.startsWith('| ') && !line.startsWith('| rule ') && !line.startsWith('| ---'))
    .map(line => {
      const [rule, claim, kernel, text, reason] = line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map(part => part.trim().replaceAll('\\|', '|'));
      return { rule, claim, kernel: kernel as Difference['kernel'], line: text, reason };
    });
}

export function writeTable(result: Comparison): void {
  const reasons = new Map(readTable().map(d => [`${d.rule} ${d.claim}`, d.reason]));
  const rows = result.differences.map(d => {
    const reason = reasons.get(`${d.rule} ${d.claim}`) ?? NO_REASON;
    return `| ${[d.rule, d.claim, d.kernel, d.line, reason].map(cell).join(' | ')} |`;
  });
  const head = readFileSync(TABLE, 'utf8').split('\n| rule ')[0].trimEnd();
  const table = [
    '| rule | claim | kernel | the rejecting side says | why |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ];
  writeFileSync(TABLE, `${head}\n\n${table.join('\n')}\n`);
}

/** One line for people. */
export function summary(r: Comparison): string {
  const stricter = r.differences.filter(d => d.kernel === 'accept').length;
  const laxer = r.differences.length - stricter;
  const share = ((100 * stricter) / r.kernelAccepts).toFixed(1);
  return (
    `${r.programs} programs: ${laxer} accepted here only, ${stricter} of ${r.kernelAccepts} rejected here only (${share} %); ` +
    `instructions processed equal in ${r.sameProcessed} of ${r.bothAccept} accepted (${r.ours} here, ${r.kernels} kernel); ` +
    `same instruction in ${r.sameInsn} of ${r.bothReject} rejected`
  );
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const result = compare(readCorpus());
  for (const d of result.differences)
    console.log(`${d.kernel === 'reject' ? '!!' : '  '} ${d.rule}: ${d.claim}\n      ${d.line}`);
  console.log(summary(result));
  if (process.argv.includes('--write')) writeTable(result);
}
