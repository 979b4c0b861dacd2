/** Writes the generated part of README.md: `npm run build:readme`. A test compares. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { helperListMarkdown } from '../bpf/helpers.js';

const START = '<!-- helpers: written by npm run build:readme -->';
const END = '<!-- /helpers -->';

/** The README with its helper list made anew. @throws Error when the markers are gone */
export function withHelperList(readme: string): string {
  const from = readme.indexOf(START);
  const to = readme.indexOf(END);
  if (from < 0 || to < from) throw new Error('README.md has lost its helper markers');
  return `${readme.slice(0, from + START.length)}\n\n${helperListMarkdown().trim()}\n\n${readme.slice(to)}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = fileURLToPath(new URL('../../README.md', import.meta.url));
  writeFileSync(path, withHelperList(readFileSync(path, 'utf8')));
}
