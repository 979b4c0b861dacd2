/**
 * Where a control socket is, and who gets that path: a socket is made in a folder that only its owner may enter and linked to
 * the path, which only one can. Who may write to the folder of the path could put another in its place, so nobody else may. What nobody listens at any more is taken away by whoever has its second name, PATH.old, and by nobody else.
 */
import { linkSync, lstatSync, mkdirSync, mkdtempSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname, join } from 'node:path';
import { EtherloomError } from '../errors.js';

/** The socket: where it is, or the folder that gets one named by the process. */
export type ControlPlace = { path: string } | { directory: string };

const OLD = '.old';
/** A socket is made as PATH.XXXXXX/s: what mkdtemp(3) adds, and the name in that folder. */
const MADE = 's';
const RANDOM = 6;
/** sockaddr_un.sun_path, without the 0 at its end (unix(7)), less the longer of the two ends. */
const MAX_PATH = 107 - (1 + RANDOM + 1 + MADE.length);
/** Bits of a mode: group or others may write; only owners take files away (/tmp). */
const WRITE_OTHERS = 0o022;
const STICKY = 0o1000;
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

/**
 * A folder in which others could not put another socket in the place of this one: it is of this user, or of root, and nobody
 * else may write to it, unless (`shared`) files there are taken away by their owners only.
 * @throws EtherloomError ERR_CONTROL_PATH
 */
function requireFolder(folder: string, shared: boolean): void {
  let mode: number;
  let uid: number;
  try {
    const found = statSync(folder);
    if (!found.isDirectory()) throw new Error(`${folder} is no folder`);
    ({ mode, uid } = found);
  } catch (cause) {
    throw unusable(folder, cause);
  }
  const own = process.geteuid?.() ?? uid;
  const place = {
    file: folder,
    expected: `a folder of the user who runs the engine that nobody else may write to (chmod 700)${shared ? ', or one as /tmp is' : ''}`,
  };
  if (uid !== own && uid !== 0)
    throw new EtherloomError('ERR_CONTROL_PATH', `the folder belongs to another user (uid ${uid})`, place);
  if (mode & WRITE_OTHERS && !(shared && mode & STICKY)) {
    const bits = (mode & 0o7777).toString(8).padStart(4, '0');
    throw new EtherloomError('ERR_CONTROL_PATH', `others may write to the folder (mode ${bits})`, place);
  }
}

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
    requireFolder(text, false);
    path = join(text, `etherloom-${process.pid}.sock`);
  }
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH)
    throw new EtherloomError('ERR_CONTROL_PATH', `a path of ${bytes} bytes`, {
      ...{ file: path, expected: `at most ${MAX_PATH} bytes, as Unix sockets have` },
    });
  if (given?.path !== undefined) requireFolder(dirname(path), true);
  return path;
}

/** Where a socket is made: nobody else may enter the folder, so what is there is what was made. */
export interface Workplace {
  readonly made: string;
  /** Takes the folder away. */
  clear(): void;
}

/** @throws EtherloomError ERR_CONTROL_PATH */
export function workplace(path: string): Workplace {
  try {
    const folder = mkdtempSync(`${path}.`);
    return { made: join(folder, MADE), clear: () => rmSync(folder, { recursive: true, force: true }) };
  } catch (cause) {
    throw unusable(path, cause);
  }
}

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
