/**
 * Golden tests in Markdown: a `##` heading is the claim, the first fenced block the input, the second the expected
 * output. `GOLDEN=update` writes what came out instead of comparing.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface GoldenCase {
  claim: string;
  /** Words after the opening fence of the input. */
  info: string;
  input: string;
  expected: string;
}

const CASE = /^## (.+)\n[\s\S]*?^```([^\n]*)\n([\s\S]*?)^```\n(?:[\s\S]*?)^```[^\n]*\n([\s\S]*?)^```$/gm;

export class Golden {
  readonly #path: string;
  #text: string;
  readonly cases: readonly GoldenCase[];

  constructor(url: URL) {
    this.#path = fileURLToPath(url);
    this.#text = readFileSync(this.#path, 'utf8');
    this.cases = [...this.#text.matchAll(CASE)].map(([, claim, info, input, expected]) => ({
      claim,
      info: info.trim(),
      input,
      expected,
    }));
    if (this.cases.length !== (this.#text.match(/^## /gm) ?? []).length)
      throw new Error(`${this.#path}: a heading without its two fenced blocks`);
  }

  /** Compares, or writes the output into the file when asked to. */
  check(golden: GoldenCase, actual: string): void {
    if (actual === golden.expected) return;
    if (process.env.GOLDEN === 'update') {
      const heading = this.#text.indexOf(`## ${golden.claim}\n`);
      const after = this.#text.indexOf(`${golden.input}\`\`\`\n`, heading) + golden.input.length + 4;
      const at = this.#text.indexOf(`\n${golden.expected}\`\`\``, after) + 1;
      this.#text = this.#text.slice(0, at) + actual + this.#text.slice(at + golden.expected.length);
      writeFileSync(this.#path, this.#text);
      return;
    }
    throw new Error(`differs from ${this.#path}:\n${actual}`);
  }
}
