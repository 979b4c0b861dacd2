/** What an interface of the kernel says of itself while a command runs: how it is attached, and the traps it has found. */
import type { AfXdpNic, Nic } from '../nic/index.js';
import { clearLine } from './live.js';
import { print, toJson } from './output.js';

/** How an AF_XDP NIC stands, for `started`; undefined for every other kind. */
export interface NicReport {
  nic: string;
  mode: string | undefined;
  modeReason: string;
  copy: string | undefined;
  copyReason: string;
  queues: number;
  reopened: number;
  trouble?: string;
}

const isAfXdp = (nic: Nic): nic is AfXdpNic => nic.kind === 'af_xdp';

export function nicReport(nic: Nic): NicReport | undefined {
  if (!isAfXdp(nic)) return undefined;
  const { mode, modeReason, copy, copyReason, queues, reopened, trouble } = nic.status;
  return {
    nic: nic.name,
    mode,
    modeReason,
    copy,
    copyReason,
    queues,
    reopened,
    ...(trouble === undefined ? {} : { trouble }),
  };
}

/** The same in words: "eth0 native (the driver runs XDP programs itself), copy (…)". */
export function nicWords(r: NicReport): string {
  const because = (reason: string): string => (reason ? ` (${reason})` : '');
  return (
    `${r.nic} ${r.mode ?? 'not attached'}${because(r.modeReason)}, ` +
    `${r.copy ?? 'no sockets'}${because(r.copyReason)}, ${r.queues} queue${r.queues === 1 ? '' : 's'}`
  );
}

/** What NICs warn of, and why they are not attached, in words that begin with their names. */
export const nicWarnings = (nics: readonly Nic[]): string[] =>
  nics.filter(isAfXdp).flatMap(nic => {
    const { trouble, warnings } = nic.status;
    return [...(trouble === undefined ? [] : [trouble]), ...warnings].map(w => `${nic.name}: ${w}`);
  });

/**
 * Says each warning when it is first seen, and collects all. Two that differ in how many packets they count are one.
 */
export class Warnings {
  readonly #said = new Map<string, string>();

  /** @param look what is to be warned of now; @param json a line of JSON each, instead of stderr */
  constructor(
    readonly look: () => string[],
    readonly json: boolean,
  ) {}

  /** Looks, and says what is new. */
  tell(): void {
    for (const warning of this.look()) {
      const key = warning.replace(/\b\d+(?= packets)/g, 'N');
      const known = this.#said.has(key);
      this.#said.set(key, warning);
      if (known) continue;
      if (this.json) print(toJson({ event: 'warning', warning }, 0));
      else {
        clearLine();
        process.stderr.write(`etherloom: warning: ${warning}\n`);
      }
    }
  }

  /** All that were seen, with their last numbers. */
  get all(): string[] {
    return [...this.#said.values()];
  }
}
