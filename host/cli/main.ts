#!/usr/bin/env node
/**
 * etherloom: the command line. Each command is one file of commands/, loaded only when it is called,
 * because a conformance runner starts this program hundreds of times.
 */
import { fail, mayBeUnread } from './output.js';

async function main(argv: string[]): Promise<number> {
  // The external runner's argv is fixed and none of it is an option of ours: no parser between.
  if (argv[0] === 'conformance' && !argv.includes('--help')) {
    const { runConformance } = await import('../bpf/conformance.js');
    return runConformance(argv.slice(1), process.stdin, process.stdout);
  }
  const { parse } = await import('./program.js');
  return parse(argv);
}

mayBeUnread();
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.exitCode = fail(error, process.argv.includes('--json'));
}
