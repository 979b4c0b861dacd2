/**
 * The server of the tests with real peers: GET /N is N bytes that anybody can compute, POST says how many bytes came, and
 * UDP is echoed.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { body } from './body.js';

const port = Number(process.argv[2]);
const http = createServer((request, response) => {
  if (request.method === 'POST') {
    let length = 0;
    request
      .on('data', (data: Buffer) => void (length += data.length))
      .on('end', () => response.end(`${length}`));
    return;
  }
  const length = Number(request.url!.slice(1));
  // A client of HTTP/1.0 is told no length: it reads until the server closes, which therefore closes first.
  response.writeHead(200, request.httpVersion === '1.0' ? {} : { 'content-length': length });
  Readable.from(body(length)).pipe(response);
});
for (const type of ['udp4', 'udp6'] as const) {
  const socket = createSocket({ type, ipv6Only: type === 'udp6' });
  socket.on('message', (data, from) => socket.send(data, from.port, from.address));
  socket.bind(port);
}
http.listen(port, '::', 1024, () => console.log('listening'));
