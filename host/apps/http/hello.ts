/** Hello: the answer that web servers are compared by. GET and HEAD of anything; what is not one of these is refused. */
import type { RequestListener } from 'node:http';
import type { Answers, Service } from '../service.js';
import type { Head } from './request.js';
import { answerOf, http } from './session.js';

export const HELLO = 'Hello, World!';

/** By method and by whether the connection stays open: made once. */
const answers = (status: number, body: string, withBody = true): readonly [close: Buffer, keep: Buffer] => [
  answerOf(status, body, true, withBody),
  answerOf(status, body, false, withBody),
];
const GET = answers(200, HELLO);
const HEAD = answers(200, HELLO, false);
const OTHER = answers(405, 'GET or HEAD\n');

/** For the burst and in-lane levels: our own parser, answers that are there already. */
export const hello = (): Service =>
  http((head: Head, out: Answers) => {
    const [close, keep] = head.method === 'GET' ? GET : head.method === 'HEAD' ? HEAD : OTHER;
    out.append(head.keepAlive ? keep : close);
  });

/** For Node's `http`, on the Duplex level. */
export const helloListener: RequestListener = (request, response) => {
  const known = request.method === 'GET' || request.method === 'HEAD';
  const body = known ? HELLO : 'GET or HEAD\n';
  request.resume();
  response
    .writeHead(known ? 200 : 405, {
      'Content-Type': 'text/plain; charset=utf-8',
      'Content-Length': Buffer.byteLength(body),
    })
    .end(request.method === 'HEAD' ? undefined : body);
};
