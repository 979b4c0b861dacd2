/** What happened in a script so far, and how a failure is told: expected, got, what differs, the packets until then. */
import type { Moment } from './driver.js';

export class Transcript {
  readonly #lines: { when: Moment; text: string }[] = [];

  note(when: Moment, text: string): void {
    this.#lines.push({ when, text });
  }

  /** Lines with ms since the first event, `→` to the host under test and `←` from it. */
  lines(): string[] {
    const start = this.#lines.find(l => l.when.at !== undefined)?.when.at ?? 0;
    return this.#lines.map(({ when, text }) => {
      const at = when.at === undefined ? '' : (when.at - start).toFixed(1);
      return `${at.padStart(9)} ${text}`;
    });
  }
}

/** Expected and got of one thing that differs. */
export interface Difference {
  field: string;
  expected: string;
  got: string;
}

/** A script did not go as written. */
export class ScriptFailure extends Error {
  constructor(
    readonly what: string,
    readonly details: string[],
    /** Where the script stands, as `file:line`. */
    readonly where: string | undefined,
    transcript: Transcript,
  ) {
    super(
      [
        `${what}${where ? ` (${where})` : ''}`,
        ...details.map(d => `  ${d}`),
        '  so far, ms (→ to the host, ← from it, · its application):',
        ...transcript.lines(),
      ].join('\n'),
    );
    this.name = 'ScriptFailure';
  }
}

/** A table of what differs, one line a field. */
export function differenceLines(differences: Difference[]): string[] {
  const wide = Math.max(...differences.map(d => d.field.length));
  return differences.map(d => `${d.field.padEnd(wide)}  expected ${d.expected}, got ${d.got}`);
}

/** The line of a module of scripts/ in a stack. */
export const placeOf = (stack: string | undefined): string | undefined =>
  /scripts\/([\w-]+\.ts:\d+)/.exec(stack ?? '')?.[1];
