/**
 * A folder over HTTP, as a listener for Node's `http`: files with ranges, ETag and If-None-Match, `index.html` or a list for
 * a folder. Nothing outside of the folder is answered, whatever the path says and wherever links lead; nor are names that
 * begin with a dot.
 */
import { realpathSync, type Stats, statSync } from 'node:fs';
import { open, opendir, realpath, stat } from 'node:fs/promises';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { join, sep } from 'node:path';
import { pipeline } from 'node:stream';
import { EtherloomError } from '../../errors.js';
import { contentType } from './content_type.js';
import { readRange } from './range.js';

export interface FilesOptions {
  /** Told of every answer that began, when it is over: `bytes` of its body had gone. */
  answered?: (method: string, path: string, status: number, bytes: number) => void;
}

/** Most names of a list. */
const LISTED = 1000;

/** @throws EtherloomError ERR_FILES_FOLDER when there is no such folder */
export function files(folder: string, options: FilesOptions = {}): RequestListener {
  let root: string;
  try {
    root = realpathSync(folder);
    if (!statSync(root).isDirectory()) throw new Error('it is no folder');
  } catch (cause) {
    throw new EtherloomError('ERR_FILES_FOLDER', `${folder}: ${(cause as Error).message}`, {
      cause,
      expected: 'a folder that can be read',
    });
  }
  // Requests of a connection take turns: who asks for a thousand files and reads none has one of them open.
  const turns = new WeakMap<Socket, Promise<void>>();
  return (request, response) => {
    const { method = 'GET', url = '/', socket } = request;
    if (options.answered)
      response.once('close', () => options.answered!(method, url, response.statusCode, bodyBytes(response)));
    request.resume();
    const turn = async (): Promise<void> => {
      if (!socket.destroyed) await answer(root, request, response).catch(error => failed(response, error));
    };
    turns.set(socket, (turns.get(socket) ?? Promise.resolve()).then(turn));
  };
}

/** Bytes of bodies that were handed over. */
const given = new WeakMap<ServerResponse, () => number>();

/** Bytes of the body that have gone. */
const bodyBytes = (response: ServerResponse): number =>
  Math.max(0, (given.get(response)?.() ?? 0) - (response.writableFinished ? 0 : response.writableLength));

function say(response: ServerResponse, status: number, text: string, type = contentType('.txt')): void {
  const body = Buffer.from(text);
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': body.length });
  if (response.req.method === 'HEAD') response.end();
  else {
    given.set(response, () => body.length);
    response.end(body);
  }
}

/** What the file system refuses is the client's path, but for what a server should have been able to do. */
function failed(response: ServerResponse, error: NodeJS.ErrnoException): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const missing = ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP', 'ERR_INVALID_ARG_VALUE'].includes(
    error.code ?? '',
  );
  if (missing) say(response, 404, 'Not Found\n');
  else if (error.code === 'EACCES' || error.code === 'EPERM') say(response, 403, 'Forbidden\n');
  else say(response, 500, 'Internal Server Error\n');
}

async function answer(root: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return say(response, 405, 'Method Not Allowed\n');
  }
  const path = pathOf(request.url ?? '/');
  if (path === undefined) return say(response, 400, 'Bad Request\n');
  const parts = path.split('/').filter(part => part !== '');
  if (parts.some(part => part.startsWith('.'))) return say(response, 404, 'Not Found\n');
  // Where links lead counts, not what the path looks like.
  const file = await realpath(join(root, ...parts));
  if (!isWithin(root, file)) return say(response, 404, 'Not Found\n');
  const found = await stat(file);
  if (found.isFile())
    return path.endsWith('/') ? say(response, 404, 'Not Found\n') : send(file, found, request, response);
  if (!found.isDirectory()) return say(response, 404, 'Not Found\n');
  if (!path.endsWith('/')) {
    // Names in the folder are relative to it. Of several slashes the first would name another host.
    response.setHeader('Location', `/${parts.map(encodeURIComponent).join('/')}/`);
    return say(response, 301, 'Moved Permanently\n');
  }
  return sendFolder(root, file, path, request, response);
}

/** Path of a target, decoded; undefined: it is none. */
function pathOf(target: string): string | undefined {
  // Of a proxy's form only the path counts.
  const path = target.replace(/^https?:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '') || '/';
  if (!path.startsWith('/')) return undefined;
  try {
    const decoded = decodeURIComponent(path);
    return /[\0\\]/.test(decoded) ? undefined : decoded;
  } catch {
    return undefined;
  }
}

const isWithin = (root: string, file: string): boolean =>
  file === root || file.startsWith(root.endsWith(sep) ? root : root + sep);

async function send(
  file: string,
  found: Stats,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { size } = found;
  // Weak: two changes within a clock's tick look alike.
  const tag = `W/"${size.toString(36)}-${Math.floor(found.mtimeMs).toString(36)}"`;
  const modified = new Date(Math.floor(found.mtimeMs / 1000) * 1000);
  response.setHeader('ETag', tag);
  response.setHeader('Last-Modified', modified.toUTCString());
  response.setHeader('Accept-Ranges', 'bytes');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  if (isFresh(request, tag, modified)) {
    response.writeHead(304).end();
    return;
  }
  response.setHeader('Content-Type', contentType(file));
  // A range is of the file that the client knows.
  const same =
    request.headers['if-range'] === undefined || request.headers['if-range'] === modified.toUTCString();
  const range = same ? readRange(request.headers.range, size) : undefined;
  if (range === 'none') {
    response.setHeader('Content-Range', `bytes */${size}`);
    return say(response, 416, 'Range Not Satisfiable\n');
  }
  const { from, to } = range ?? { from: 0, to: size - 1 };
  if (range) response.setHeader('Content-Range', `bytes ${from}-${to}/${size}`);
  const head = { 'Content-Length': to - from + 1 };
  if (request.method === 'HEAD' || size === 0) {
    response.writeHead(range ? 206 : 200, head).end();
    return;
  }
  // That it cannot be opened is an answer, too.
  const body = (await open(file)).createReadStream({ start: from, end: to });
  // A response that others are before has no socket yet, and hears nothing of its end.
  const gone = (): void => void body.destroy();
  request.socket.once('close', gone);
  if (request.socket.destroyed) gone();
  given.set(response, () => body.bytesRead);
  response.writeHead(range ? 206 : 200, head);
  // What goes wrong from here on the client sees by the missing bytes.
  await new Promise<void>(done => pipeline(body, response, () => done()));
  request.socket.off('close', gone);
}

/** Whether the client has it already (RFC 9110 §13.2.2). */
function isFresh(request: IncomingMessage, tag: string, modified: Date): boolean {
  const known = request.headers['if-none-match'];
  if (known !== undefined) {
    const strip = (t: string): string => t.trim().replace(/^W\//, '');
    return known.trim() === '*' || known.split(',').some(t => strip(t) === strip(tag));
  }
  const since = Date.parse(request.headers['if-modified-since'] ?? '');
  return !Number.isNaN(since) && modified.getTime() <= since;
}

async function sendFolder(
  root: string,
  folder: string,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const index = await realpath(join(folder, 'index.html')).catch(() => undefined);
  if (index !== undefined && isWithin(root, index)) {
    const found = await stat(index);
    if (found.isFile()) return send(index, found, request, response);
  }
  const names: string[] = [];
  for await (const entry of await opendir(folder)) {
    if (names.length === LISTED) break;
    if (!entry.name.startsWith('.')) names.push(entry.isDirectory() ? `${entry.name}/` : entry.name);
  }
  const row = (name: string): string => `<li><a href="${href(name)}">${escaped(name)}</a></li>`;
  const rows = [...(path === '/' ? [] : ['../']), ...names.sort()].map(row).join('\n');
  const title = escaped(path);
  say(
    response,
    200,
    `<!doctype html>\n<meta charset="utf-8">\n<title>${title}</title>\n<h1>${title}</h1>\n<ul>\n${rows}\n</ul>\n`,
    contentType('.html'),
  );
}

/** `./`, for a name may look like a scheme. */
const href = (name: string): string =>
  name === '../' ? name : `./${encodeURIComponent(name.replace(/\/$/, ''))}${name.endsWith('/') ? '/' : ''}`;

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escaped = (text: string): string => text.replace(/[&<>"']/g, c => ESCAPES[c]);
