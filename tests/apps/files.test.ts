/** A folder over HTTP: what clients that pipeline, go away or end early cost, and what is told of their answers. */
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { files } from '../../host/apps/files/files.js';
import { assert, suite } from '../support/suite.js';
import { until } from './rig.js';

const test = suite('apps: files');
/** More than the kernel's buffers of a connection take. */
const BIG = 30_000_000;

type Told = [method: string, path: string, status: number, bytes: number];

async function served(work: (port: number, told: Told[], server: Server) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-files-'));
  const told: Told[] = [];
  const server = createServer(files(folder, { answered: (...t) => told.push(t) }));
  try {
    writeFileSync(join(folder, 'a.txt'), 'small');
    writeFileSync(join(folder, 'big.bin'), Buffer.alloc(BIG, 'x'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    await work((server.address() as AddressInfo).port, told, server);
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  }
}

const client = async (port: number): Promise<Socket> => {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
};
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const openFiles = (): number => readdirSync('/proc/self/fd').length;
const all = async (socket: Socket): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return String(Buffer.concat(chunks));
};

test('who asks for a file 500 times, reads none and goes leaves no file open, and has one open meanwhile', () =>
  served(async port => {
    const before = openFiles();
    const socket = await client(port);
    socket.pause().write(get('/big.bin').repeat(500));
    await until('the first is open', () => openFiles() > before + 2);
    await new Promise(next => setTimeout(next, 100));
    // Both ends of the connection, and the file.
    assert.ok(openFiles() <= before + 3, `${openFiles() - before} more files`);
    socket.resetAndDestroy();
    await until('all are closed', () => openFiles() <= before);
  }));

test('pipelined requests are answered in their order', () =>
  served(async port => {
    const socket = await client(port);
    socket.write(get('/a.txt') + get('/none') + get('/a.txt'));
    socket.write('GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const statuses = [...(await all(socket)).matchAll(/HTTP\/1\.1 (\d+)/g)].map(m => m[1]);
    assert.equal(statuses, ['200', '404', '200', '404']);
    socket.destroy();
  }));

test('who has ended after its request gets the file all the same', () =>
  served(async (port, told, server) => {
    (server as { httpAllowHalfOpen?: boolean }).httpAllowHalfOpen = true;
    const socket = await client(port);
    socket.end(get('/a.txt'));
    assert.match(await all(socket), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nsmall$/);
    await until('it is told', () => told.length === 1);
    assert.equal(told, [['GET', '/a.txt', 200, 5]]);
  }));

test('bytes that are told are those of the body that went', () =>
  served(async (port, told) => {
    const socket = await client(port);
    socket.write(get('/none'));
    await once(socket, 'data');
    await until('the first is told', () => told.length === 1);
    socket.write('HEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'data');
    await until('the second is told', () => told.length === 2);
    socket.pause().write(get('/big.bin'));
    await new Promise(next => setTimeout(next, 100));
    socket.resetAndDestroy();
    await until('the third is told', () => told.length === 3);
    assert.equal(told.slice(0, 2), [
      ['GET', '/none', 404, 10],
      ['HEAD', '/a.txt', 200, 0],
    ]);
    const [, path, status, bytes] = told[2];
    assert.equal([path, status], ['/big.bin', 200]);
    assert.ok(bytes < BIG, `${bytes} of ${BIG}`);
  }));
