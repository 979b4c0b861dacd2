/** Requests of HTTP/1.1: however they come in pieces, the answers are the same, and as many as there are heads. */
import { hello } from '../../../host/apps/http/hello.js';
import { EtherloomError } from '../../../host/errors.js';
import { answersTo } from '../../apps/rig.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const seed = (text: string): Uint8Array => Buffer.from(text.replaceAll('\n', '\r\n'));
const STATUS = /HTTP\/1\.1 (\d{3}) /g;

export const target: FuzzTarget = {
  name: 'http',
  seeds: () => [
    seed('GET / HTTP/1.1\nHost: a\n\n'),
    seed('GET / HTTP/1.1\nHost: a\n\nHEAD /x HTTP/1.1\nHost: a\nConnection: close\n\n'),
    seed(
      'POST / HTTP/1.1\nHost: a\nContent-Length: 5\nExpect: 100-continue\n\nhelloGET / HTTP/1.1\nHost: b\n\n',
    ),
    seed('GET / HTTP/1.0\nConnection: keep-alive\n\n\nGET /?q=1 HTTP/1.1\nHost: a\nX: \ty \n\n'),
    seed('POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n'),
  ],
  run: input => {
    const whole = answersTo(hello().open(), input).toString('latin1');
    for (const pieces of [[1], [3, 1, 7], [input.length >> 1 || 1]])
      if (answersTo(hello().open(), input, pieces).toString('latin1') !== whole)
        throw new Error(`other answers in pieces of ${pieces}`);
    const refused = [...whole.matchAll(STATUS)].find(
      ([, status]) => Number(status) >= 400 && status !== '405',
    );
    if (refused) throw new EtherloomError(`ERR_HTTP_${refused[1]}`, 'refused');
  },
};
