/** Plays scripts on a driver, one or many at a time. */
import type { Driver } from './driver.js';
import type { Script } from './script.js';
import { Stage } from './stage.js';

export interface Outcome {
  script: Script;
  /** Why it failed; undefined when the host did as the script says. */
  failure?: string;
  /** All that happened, also of one that went well. */
  transcript: string[];
  ms: number;
}

const message = (error: unknown): string =>
  error instanceof Error && error.name === 'ScriptFailure'
    ? error.message
    : error instanceof Error
      ? (error.stack ?? error.message)
      : String(error);

/** Plays one script. Whatever goes wrong is told in the outcome. */
export async function play(script: Script, driver: Driver): Promise<Outcome> {
  const started = Date.now();
  let stage: Stage | undefined;
  let failure: string | undefined;
  try {
    const host = await driver.open(script.options);
    try {
      stage = new Stage(host);
      await script.play(stage);
      await stage.finish();
    } finally {
      await host.close();
    }
  } catch (error) {
    failure = message(error);
  }
  return {
    script,
    ...(failure === undefined ? {} : { failure }),
    transcript: stage?.transcript.lines() ?? [],
    ms: Date.now() - started,
  };
}

/**
 * What an outcome means on the kernel: a script that it fails is wrong, unless its difference is written down; one whose
 * difference is written down must fail. @returns why it counts as failed
 */
export function oracleVerdict({ script, failure, transcript }: Outcome): string | undefined {
  const { rfc, linux } = script.options;
  const title = `${script.topic}: ${script.claim} [RFC ${rfc}]`;
  if (linux && failure === undefined)
    return `${title}\nthe kernel does this after all; the script says: ${linux.differs}\n${transcript.join('\n')}`;
  if (!linux && failure !== undefined) return `${title}\n${failure}`;
  return undefined;
}
