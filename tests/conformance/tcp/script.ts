/**
 * A script: a claim, the text it stands in, how the host is set up, and what is played. Topics are the modules of
 * scripts/; each registers its scripts when it is loaded.
 */
import type { Setup } from './driver.js';
import type { Stage } from './stage.js';

export interface ScriptOptions extends Setup {
  /** Where it is written: `9293 §3.5` is an RFC, several are set apart by `; `. */
  rfc: string;
  /** Seconds that it takes in real time, when that is more than one. Long ones are begun first. */
  seconds?: number;
  /** The kernel is known not to do this, and why. Then it must not: a script that passes after all loses this note. */
  linux?: { differs: string };
}

export interface Script {
  topic: string;
  claim: string;
  options: ScriptOptions;
  play(t: Stage): Promise<void>;
}

const registered: Script[] = [];
const claims = new Set<string>();

/** Opens a topic; what it returns adds a script to it. @throws Error for a claim that there is already */
export function topic(name: string): (claim: string, options: ScriptOptions, play: Script['play']) => void {
  return (claim, options, play) => {
    if (claims.has(claim)) throw new Error(`two scripts claim: ${claim}`);
    claims.add(claim);
    registered.push({ topic: name, claim, options, play });
  };
}

/** All scripts of the modules that were loaded, in the order of their topics. */
export const scripts = (): readonly Script[] => registered;
