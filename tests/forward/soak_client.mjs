/**
 * Transfers without end for lives.ts: node soak_client.mjs HOST PORT BODIES, where BODIES is JSON: { small, large }, each
 * { length, sha256 }. Small ones are given up soon and begun anew, so that somebody always tries; large ones are in the
 * middle when something happens, and must come through whole. Every 20 ms a line of JSON: totals, and when the last byte
 * came (ms of the epoch).
 */
import { createHash } from 'node:crypto';
import http from 'node:http';

const [host, port, bodies] = process.argv.slice(2);
const { small, large } = JSON.parse(bodies);
const TELL_MS = 20;
const KINDS = [
  { ...small, workers: 4, patienceMs: 200, pauseMs: 10, must: false },
  { ...large, workers: 2, patienceMs: 20_000, pauseMs: 20, must: true },
];
const total = { whole: 0, wrong: 0, failed: 0, reasons: [], lastByte: 0 };

/** One transfer; resolves to nothing, or to why it did not end once it had begun: without a network nothing begins. */
function transfer({ length, sha256, patienceMs }) {
  return new Promise(done => {
    const hash = createHash('sha256');
    let got = 0;
    const request = http.get({ host, port, path: `/${length}`, agent: false }, response => {
      response.on('data', data => {
        hash.update(data);
        got += data.length;
        total.lastByte = performance.timeOrigin + performance.now();
      });
      response.on('end', () => {
        if (got === length && hash.digest('hex') === sha256) total.whole++;
        else total.wrong++;
        done();
      });
      response.on('error', error => done(error.message));
    });
    request.on('error', error => done(got ? error.message : undefined));
    const limit = setTimeout(
      () => request.destroy(new Error(`${got} bytes in ${patienceMs} ms`)),
      patienceMs,
    );
    request.on('close', () => {
      clearTimeout(limit);
      done(got ? 'closed' : undefined);
    });
  });
}

async function work(kind) {
  for (;;) {
    const reason = await transfer(kind);
    if (reason && kind.must) {
      total.failed++;
      total.reasons.push(reason);
    }
    await new Promise(next => setTimeout(next, kind.pauseMs));
  }
}

for (const kind of KINDS) for (let i = 0; i < kind.workers; i++) void work(kind);
setInterval(() => process.stdout.write(`${JSON.stringify(total)}\n`), TELL_MS);
// The reader is gone: nobody is there to go on for.
process.stdout.on('error', () => process.exit());
