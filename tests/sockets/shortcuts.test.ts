/** What a socket does of a message may not depend on whether its stream had to be asked: order, callbacks, corks, chunks. */
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { pattern, sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';
import { both } from './hosts.js';
import { gather, recorded, until, withPair } from './pairs.js';

const { test, end } = both('sockets: shortcuts');

/** So long that what was written would be there. */
const AWHILE_MS = 60;
const awhile = (): Promise<void> => new Promise(done => setTimeout(done, AWHILE_MS));

test(
  'callbacks of writes come in order, after the call and before finish, with null or nothing',
  withPair(async ({ near, far }) => {
    far.resume();
    const said: string[] = [];
    const note = (what: string) => (error?: Error | null) => said.push(error ? `${what}: ${error}` : what);
    near.on('finish', note('finish'));
    near.write('text', note('one'));
    near.write(Buffer.from('bytes'), note('two'));
    near.write('ff', 'hex', note('three'));
    near.write(new Uint8Array(3), note('four'));
    near.end('end', note('end'));
    said.push('called');
    await once(near, 'finish');
    await awhile();
    const [first, ...rest] = said;
    assert.is(first, 'called');
    assert.equal(rest.slice(0, 4), ['one', 'two', 'three', 'four']);
    assert.equal(rest.slice(4).sort(), ['end', 'finish']);
  }),
);

test(
  'text of every encoding, alone and corked, arrives as its bytes, and is counted as them',
  withPair(async ({ near, far }) => {
    const text = 'žluť \u{1f600} \ud800 ÿ';
    const want: Buffer[] = [];
    const write = (encoding: BufferEncoding, what = text): void => {
      near.write(what, encoding);
      want.push(Buffer.from(what, encoding));
    };
    const all = (): void => {
      for (const encoding of ['utf8', 'latin1', 'ucs2', 'ascii', 'utf-8', 'binary'] as const) write(encoding);
      write('hex', '00ff7f');
      write('base64', 'w6k=');
    };
    all();
    near.cork();
    all();
    near.write('');
    const total = want.reduce((sum, b) => sum + b.length, 0);
    assert.is(near.bytesWritten, total);
    near.uncork();
    all();
    near.end();
    assert.is((await gather(far)).toString('hex'), Buffer.concat(want).toString('hex'));
    assert.is(near.bytesWritten, Buffer.concat(want).length);
  }),
);

test(
  'what is written while corked is not sent before uncork, and goes behind what was',
  withPair(async ({ near, far }) => {
    let got = '';
    far.setEncoding('latin1').on('data', d => {
      got += d;
    });
    near.write('a');
    near.cork();
    near.write('b');
    near.write(Buffer.from('c'));
    await awhile();
    assert.is(got, 'a');
    assert.is(near.writableLength, 2);
    near.uncork();
    near.write('d');
    await until('all of it', () => got === 'abcd');
    assert.is(near.writableLength, 0);
  }),
);

test(
  'chunks are the reader’s for ever: nothing that comes later changes them',
  withPair(async ({ near, far }) => {
    const kept: Buffer[] = [];
    far.on('data', d => kept.push(d));
    const data = pattern(200_000, 7);
    let at = 0;
    for (let n = 1; at < data.length; n = (n * 7) % 509) {
      near.write(data.subarray(at, at + n));
      at += n;
      if (n % 5 === 0) await new Promise(setImmediate);
    }
    near.end();
    await once(far, 'end');
    assert.is(sha(Buffer.concat(kept)), sha(data));
    // To write to one is not to write to another.
    const copy = kept.map(b => Buffer.from(b));
    kept[0].fill(0);
    assert.is(sha(Buffer.concat(kept.slice(1))), sha(Buffer.concat(copy.slice(1))));
  }),
);

test(
  'text and bytes of all sizes against a slow reader: in order, with drain',
  withPair(async ({ near, far }) => {
    const want: Buffer[] = [];
    let drains = 0;
    near.on('drain', () => drains++);
    let full = 0;
    const sent = (async () => {
      for (let i = 0; i < 900; i++) {
        // One is more than anybody takes at once, so that it has to wait.
        const n = i === 449 ? 4 << 20 : (i * 7919) % 5000;
        const piece = i % 3 === 0 ? 'é'.repeat(n) : i % 3 === 1 ? 'x'.repeat(n) : pattern(n, i);
        const encoding = i % 2 === 0 ? 'utf8' : 'latin1';
        want.push(Buffer.from(piece as string, encoding));
        const room = typeof piece === 'string' ? near.write(piece, encoding) : near.write(piece);
        if (room) continue;
        full++;
        await once(near, 'drain');
      }
      near.end();
    })();
    const parts: Buffer[] = [];
    far.on('data', d => {
      parts.push(d);
      far.pause();
      setImmediate(() => far.resume());
    });
    await Promise.all([sent, once(far, 'end')]);
    assert.is(sha(Buffer.concat(parts)), sha(Buffer.concat(want)));
    assert.is(drains, full);
    assert.ok(full > 0);
  }),
);

test(
  'a listener may pause, give back, change how it reads, and pipe: nothing is lost or twice',
  withPair(async ({ near, far }) => {
    const read: string[] = [];
    far.once('data', d => {
      read.push(String(d));
      far.pause();
    });
    near.write('one ');
    await until('the first', () => read.length === 1);
    near.write('two ');
    await awhile();
    assert.equal(read, ['one ']);
    far.once('data', d => {
      read.push(String(d));
      far.pause();
      far.unshift(Buffer.from('again '));
    });
    far.resume();
    await until('the second', () => read.length === 2);
    far.on('readable', () => {
      for (let d = far.read() as Buffer | null; d !== null; d = far.read() as Buffer | null)
        read.push(String(d));
    });
    await until('what was given back', () => read.join('') === 'one two again ');
    near.write('three ');
    await until('by readable', () => read.join('') === 'one two again three ');
    far.removeAllListeners('readable');
    const into = new PassThrough();
    far.pipe(into);
    const rest = gather(into);
    near.end('four');
    assert.is(String(await rest), 'four');
  }),
);

test(
  'destroyed by its own data listener: no more data, then close',
  withPair(async ({ near, far }) => {
    near.on('error', () => {});
    const events = recorded(far, ['data', 'end', 'error', 'close']);
    far.on('data', () => far.destroy());
    near.write('a');
    await until('data', () => events.includes('data'));
    near.write('b');
    await until('close', () => events.includes('close false'));
    assert.equal(events, ['data', 'close false']);
    assert.is(far.readableDidRead, true);
  }),
);

test(
  'ticks and promises that a listener began are done before the next event of the loop',
  withPair(async ({ near, far }) => {
    const order: string[] = [];
    far.on('data', d => {
      order.push(String(d));
      process.nextTick(() => order.push(`${d} tick`));
      void Promise.resolve().then(() => order.push(`${d} promise`));
      setImmediate(() => order.push(`${d} immediate`));
    });
    near.write('x');
    await until('all', () => order.length === 4);
    assert.equal(order, ['x', 'x tick', 'x promise', 'x immediate']);
  }),
);

end();
