/** Writes the generated part of README.md: `npm run build:readme`. A test compares. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { helperListMarkdown } from '../bpf/helpers.js';
import { kfuncListMarkdown } from '../bpf/kfuncs.js';

/** A list of the README between its two markers. */
const lists: readonly { name: string; text: () => string }[] = [
  { name: 'helpers', text: helperListMarkdown },
  { name: 'kfuncs', text: kfuncListMarkdown },
];

/** The README with its lists made anew. @throws Error when the markers are gone */
export function withHelperList(readme: string): string {
  return lists.reduce((done, { name, text }) => {
    const start = `<!-- ${name}: written by npm run build:readme -->`;
    const from = done.indexOf(start);
    const to = done.indexOf(`<!-- /${name} -->`);
    if (from < 0 || to < from) throw new Error(`README.md has lost its ${name} markers`);
    return `${done.slice(0, from + start.length)}\n\n${text().trim()}\n\n${done.slice(to)}`;
  }, readme);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = fileURLToPath(new URL('../../README.md', import.meta.url));
  writeFileSync(path, withHelperList(readFileSync(path, 'utf8')));
}
