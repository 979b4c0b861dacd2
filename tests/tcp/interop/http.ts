/** The least HTTP/1.1 that curl is content with: GET gives a body of so many bytes, PUT is answered by the hash of what came. */
import { createHash } from 'node:crypto';
import type { OurConnection } from './our.js';

const HEAD_END = '\r\n\r\n';

/** Answers one request and ends the connection. */
export async function respond(c: OurConnection, body: Uint8Array): Promise<void> {
  const into = Buffer.alloc(1 << 18);
  let head = '';
  let rest = Buffer.alloc(0);
  while (!rest.includes(HEAD_END)) {
    const n = await c.read(into);
    if (!n) throw new Error(`http: ended in the middle of a head: ${rest}`);
    rest = Buffer.concat([rest, into.subarray(0, n)]);
  }
  const at = rest.indexOf(HEAD_END) + HEAD_END.length;
  head = rest.subarray(0, at).toString('latin1');
  rest = rest.subarray(at);
  let answer = body;
  if (head.startsWith('PUT')) {
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    if (/expect: 100-continue/i.test(head)) await c.write(Buffer.from(`HTTP/1.1 100 Continue${HEAD_END}`));
    const hash = createHash('sha256').update(rest);
    for (let got = rest.length; got < length; ) {
      const n = await c.read(into);
      if (!n) throw new Error(`http: ${got} of ${length} bytes came`);
      hash.update(into.subarray(0, n));
      got += n;
    }
    answer = Buffer.from(hash.digest('hex'));
  }
  await c.write(
    Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\nConnection: close${HEAD_END}`),
  );
  await c.write(answer);
  c.shutdown();
  await c.read(into);
  c.close();
}
