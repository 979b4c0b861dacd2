/**
 * Where a control socket is, and who gets that path: a socket is made under a name of its own and linked to the path, which
 * only one can. What nobody listens at any more is taken away by whoever has its second name, PATH.old, and by nobody else.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { EtherloomError } from '../errors.js';

/** The socket: where it is, or the folder that gets one named by the process. */
export type ControlPlace = { path: string } | { directory: string };

const OLD = '.old';
/** Random bytes in the name under which a socket is made. */
const RANDOM = 4;
/** sockaddr_un.sun_path, without the 0 at its end (unix(7)), less the longer of the two ends. */
const MAX_PATH = 107 - (1 + 2 * RANDOM);
/** Is somebody there? */
const ASK_MS = 1000;
/** Who has a second name asks at most ASK_MS: an older one is left from a process that was killed meanwhile. */
const OLD_MS = 10 * ASK_MS;
/** Others may come and go at the path; then it is in use. */
const MOST_TRIES = 16;

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

export const unusable = (path: string, cause: unknown): EtherloomError =>
  new EtherloomError('ERR_CONTROL_PATH', `no control socket there: ${(cause as Error).message}`, {
    ...{ file: path, cause },
    expected: 'a place for a file in a folder of its owner',
  });

const inUse = (path: string): EtherloomError =>
  new EtherloomError('ERR_CONTROL_IN_USE', 'another process listens there', {
    ...{ file: path, expected: 'a path of its own' },
  });

/** @throws EtherloomError ERR_CONTROL_PATH */
export function placeOf(place: ControlPlace): string {
  const given = place as { path?: unknown; directory?: unknown } | null | undefined;
  const expected = '{ path } or { directory }';
  const text = given?.path ?? given?.directory;
  if (typeof text !== 'string' || text === '' || text.includes('\0'))
    throw new EtherloomError('ERR_CONTROL_PATH', 'no path for the control socket', { expected });
  let path = text;
  if (given?.path === undefined) {
    try {
      mkdirSync(text, { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw unusable(text, cause);
    }
    path = join(text, `etherloom-${process.pid}.sock`);
  }
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH)
    throw new EtherloomError('ERR_CONTROL_PATH', `a path of ${bytes} bytes`, {
      ...{ file: path, expected: `at most ${MAX_PATH} bytes, as Unix sockets have` },
    });
  return path;
}

/** A name that a socket is made under: in the same folder, and nobody else's. */
export const nameToMake = (path: string): string => `${path}.${randomBytes(RANDOM).toString('hex')}`;

/** Gives the socket that was made the name `path`, too. @throws EtherloomError ERR_CONTROL_PATH, ERR_CONTROL_IN_USE */
export async function claim(made: string, path: string): Promise<void> {
  try {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      if (linked(made, path)) return;
      await clear(path);
    }
  } catch (cause) {
    if (cause instanceof EtherloomError) throw cause;
    throw unusable(path, cause);
  }
  throw inUse(path);
}

/** Whether the name was free. */
function linked(file: string, name: string): boolean {
  try {
    linkSync(file, name);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

const look = (path: string) => lstatSync(path, { throwIfNoEntry: false, bigint: true });

/** Takes away a socket that nobody listens at any more. @throws EtherloomError ERR_CONTROL_PATH, ERR_CONTROL_IN_USE */
async function clear(path: string): Promise<void> {
  const found = look(path);
  if (!found) return;
  if (!found.isSocket()) throw unusable(path, new Error('a file that is no socket'));
  if (await answers(path)) throw inUse(path);
  const old = path + OLD;
  try {
    if (!linked(path, old)) return forget(path, old);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  // Nobody else takes the path away now; but it may have got another owner before, or this one may go yet.
  try {
    if (await answers(old)) throw inUse(path);
    if (look(path)?.ino === look(old)?.ino) unlinkSync(path);
  } finally {
    unlinkSync(old);
  }
}

/** Another has the second name, or had it when it was killed. @throws EtherloomError ERR_CONTROL_PATH, ERR_CONTROL_IN_USE */
function forget(path: string, old: string): void {
  const found = look(old);
  if (!found) return;
  if (!found.isSocket()) throw unusable(old, new Error('a file that is no socket'));
  // link(2) marks its time.
  if (Date.now() - Number(found.ctimeMs) < OLD_MS) throw inUse(path);
  unlinkSync(old);
}

/** Whether somebody listens at a socket; who does not say so in time is taken for one who does. */
function answers(path: string): Promise<boolean> {
  return new Promise(done => {
    const probe = createConnection(path);
    const end = (is: boolean): void => {
      clearTimeout(late);
      probe.destroy();
      done(is);
    };
    const late = setTimeout(end, ASK_MS, true);
    probe.once('connect', () => end(true));
    probe.once('error', error => end(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error)!)));
  });
}
