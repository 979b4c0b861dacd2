/** The figures of the experiment, as pass or miss, from the cells of the exact client. */
import type { Cell, Cells } from './samples.js';

export interface Figure {
  readonly name: string;
  /** What was found, with the cell that decides. */
  readonly found: string;
  readonly target: string;
  /** Undefined: not measured. */
  readonly met?: boolean;
}

/** Bodies up to here count as small, bytes. */
export const SMALL_BYTES = 160_000;
/** Peers made of our program. */
const JUDGED = ['etherloom', 'kernel'];
const LIMITS = { small: 0.4, large: 0.7, hop: 0.1, kernel: 2 };

export function figures(cells: Cells): Figure[] {
  const out = cells.values('peer').flatMap(peer => sound(cells, peer));
  for (const clients of cells.values('clients')) {
    const who = clients === 1 ? '1 client' : `${clients} clients`;
    const against = (peer: string, name: string, limit: number, keep: (c: Cell) => boolean): Figure =>
      worst(
        `${who}: ${name}`,
        cells.where({ peer: 'etherloom', client: 'client', clients }).filter(keep),
        c => ratio(c, cells.get({ ...c, peer })),
        limit,
      );
    const small = (c: Cell): boolean => c.bytes <= SMALL_BYTES;
    out.push(
      against('socat', 'time / socat, bodies ≤ 160 kB', LIMITS.small, small),
      against('socat', 'time / socat, bodies > 160 kB', LIMITS.large, c => !small(c)),
      perHop(cells, clients, `${who}: a further hop / socat's`),
      against('kernel', 'time / kernel-native chain, one forwarder', LIMITS.kernel, c => c.hops === 2),
    );
  }
  return out;
}

/** Transfers, resets and checksums of a peer, over both clients and everything else. */
function sound(cells: Cells, peer: string): Figure[] {
  const of = cells.where({ peer });
  const total = (value: (c: Cell) => number): number => of.reduce((n, c) => n + value(c), 0);
  const [asked, ok] = [total(c => c.requests), total(c => c.ok)];
  const first = of.find(c => c.ok < c.requests);
  const why = first ? `; first ${where(first)}: ${JSON.stringify(first.errors)}` : '';
  // What the kernel and socat make of it is shown beside, not judged.
  const judged = JUDGED.includes(peer);
  const none = (name: string, n: number, found = `${n}`): Figure => ({
    name: `${peer}: ${name}`,
    found,
    ...(judged ? { target: '0', met: n === 0 } : { target: '' }),
  });
  const counted = (k: keyof Cell['counters']): number => total(c => c.counters[k]);
  return [
    none('incomplete transfers', asked - ok, `${asked - ok} of ${asked}${why}`),
    none('resets', counted('resets')),
    none('checksum errors', counted('csumErrors')),
    none('SYNs sent again', counted('synRetrans')),
  ];
}

/** A line through time over hops: what one more hop costs, ms per 100 requests; undefined with less than two hops. */
export function slope(points: readonly (readonly [hops: number, ms: number])[]): number | undefined {
  const n = points.length;
  const meanX = points.reduce((a, [x]) => a + x, 0) / n;
  const meanY = points.reduce((a, [, y]) => a + y, 0) / n;
  const xx = points.reduce((a, [x]) => a + (x - meanX) ** 2, 0);
  if (n < 2 || xx === 0) return undefined;
  return points.reduce((a, [x, y]) => a + (x - meanX) * (y - meanY), 0) / xx;
}

function perHop(cells: Cells, clients: number, name: string): Figure {
  const slopeOf = (peer: string, bytes: number): number | undefined =>
    slope(cells.where({ peer, clients, client: 'client', bytes }).map(c => [c.hops, c.msPer100] as const));
  let worst: { share: number; ours: number; theirs: number; bytes: number } | undefined;
  for (const bytes of cells.values('bytes', { clients, peer: 'etherloom', client: 'client' })) {
    const [ours, theirs] = [slopeOf('etherloom', bytes), slopeOf('socat', bytes)];
    if (ours === undefined || theirs === undefined) continue;
    // A socat that costs nothing would make every share infinite: the figure is then missed, as it should be.
    const share = theirs > 0 ? ours / theirs : Number.POSITIVE_INFINITY;
    if (!worst || share > worst.share) worst = { share, ours, theirs, bytes };
  }
  const target = `≤ ${LIMITS.hop}`;
  if (!worst) return { name, found: 'not measured', target };
  const us = (ms: number): string => `${(ms * 10).toFixed(1)} µs`;
  return {
    name,
    found: `${worst.share.toFixed(3)} at ${worst.bytes} B (${us(worst.ours)} / ${us(worst.theirs)} per request)`,
    target,
    met: worst.share <= LIMITS.hop,
  };
}

const ratio = (ours: Cell, theirs: Cell | undefined): number | undefined =>
  theirs && ours.msPer100 / theirs.msPer100;

const where = (c: Cell): string => `${c.hops} hops, ${c.bytes} B, ${c.clients} × ${c.client}`;

/** The largest ratio decides: "at every size and every hop count". */
function worst(
  name: string,
  of: readonly Cell[],
  ratioOf: (c: Cell) => number | undefined,
  limit: number,
): Figure {
  const known = of.map(cell => ({ cell, ratio: ratioOf(cell) })).filter(r => r.ratio !== undefined);
  const target = `≤ ${limit}`;
  if (!known.length) return { name, found: 'not measured', target };
  const most = known.reduce((a, b) => (b.ratio! > a.ratio! ? b : a));
  const over = known.filter(r => r.ratio! > limit).length;
  const found = `${most.ratio!.toFixed(2)} at ${most.cell.hops} hops, ${most.cell.bytes} B`;
  return {
    name,
    found: over ? `${found}; ${over} of ${known.length} cells over` : found,
    target,
    met: over === 0,
  };
}
