/**
 * Many deaths of worker lanes: `npm run test:tcp-deaths [KILLS [SEED]]`. Prints what happened; exits with 1 when a byte,
 * a frame or a stream is not where it should be.
 */
import { underKills } from './kills.js';

const kills = Number(process.argv[2] ?? 60);
const seed = Number(process.argv[3] ?? 1);

let failed = false;
for (const [what, options] of [
  ['bulk, 8 connections', { crowd: { connections: 8, forth: 20_000_000, back: 5_000_000 } }],
  ['short ones, 64 connections', { crowd: { connections: 64, forth: 200_000, back: 100_000 } }],
  [
    'a wire that loses 1 of 200 and is 1 ms long',
    {
      crowd: { connections: 16, forth: 2_000_000, back: 500_000 },
      link: { loss: 0.005, delayNs: 1_000_000 },
    },
  ],
] as const) {
  const r = await underKills({ kills, seed, everyMs: 150, ...options });
  const mb = (r.bytes / 1e6).toFixed(0);
  console.log(
    `${what}: ${r.kills} kills, ${r.mended} flows mended, ${mb} MB in ${r.rounds} rounds and ${(r.ms / 1e3).toFixed(1)} s, ${r.retransmits} segments sent again`,
  );
  for (const w of r.wrong) console.log(`  wrong: ${w}`);
  failed ||= r.wrong.length > 0;
}
process.exit(failed ? 1 : 0);
