/**
 * Random programs that look like what people write: packets are parsed behind bounds checks, maps looked up and checked
 * for null, scalars bounded and used as offsets, helpers called, loops counted, functions and callbacks called.
 * Every piece stands on its own; bounds are now and then one off (`near`), and mutate.ts breaks more.
 */
import type { ProgramSpec } from '../../../host/bpf/spec.js';
import type { Rng } from '../fuzz.js';
import { bytes, csum, perhapsNothing, recordAway, ring, tail, text } from './calls.js';
import { branch, loop, mayGoto } from './control.js';
import { COUNTER, CTX, Draft, INIT_BYTES, SCALAR, type Type } from './draft.js';
import { callback, callFunction, globalFunction, uncertainCallback } from './functions.js';
import { withInsns } from './globals.js';
import { type KfuncSet, kfuncNumbers, kfuncPieces } from './kfuncs.js';
import { MAPS } from './maps.js';
import { keepPacket, legacy, metadata, move, movedBack, packet } from './packets.js';
import { contextParts, linked, noise, source, twoIndices } from './scalars.js';
import { spill, spillsOverwritten, stackConstant, stackVariable } from './stack.js';
import {
  atomic,
  constantKey,
  constants,
  equalPointers,
  inner,
  keepValue,
  locked,
  mapWrite,
  queue,
  useKept,
  value,
} from './values.js';

type Piece = (g: Draft) => void;
type NestingPiece = (g: Draft, nesting: number) => void;

/** Where one stands twice it is written twice as often. */
const PIECES: readonly Piece[] = [
  noise,
  noise,
  g => source(g, SCALAR),
  stackConstant,
  stackVariable,
  spill,
  value,
  value,
  keepValue,
  useKept,
  useKept,
  atomic,
  csum,
  bytes,
  mapWrite,
  ring,
  linked,
  queue,
  locked,
  inner,
  constants,
  tail,
  text,
  twoIndices,
  contextParts,
  spillsOverwritten,
  constantKey,
  equalPointers,
  perhapsNothing,
  recordAway,
];
const PACKET_PIECES: readonly Piece[] = [packet, packet, packet, keepPacket, move, metadata, movedBack];
const SOCKET_PIECES: readonly Piece[] = [legacy];
/** Those that other pieces stand inside of, and functions. */
const OUTER_PIECES: readonly NestingPiece[] = [
  branch,
  branch,
  loop,
  mayGoto,
  callFunction,
  callback,
  uncertainCallback,
  globalFunction,
];

/** Deepest that pieces stand in one another. */
const NESTING = 2;

function writePiece(g: Draft, nesting: number, kfuncs: readonly NestingPiece[]): void {
  const more = g.type === 'socket_filter' ? SOCKET_PIECES : PACKET_PIECES;
  // Where there are kfuncs, every third piece calls one.
  if (kfuncs.length && g.rng.chance(1 / 3)) return g.rng.pick(kfuncs)(g, nesting);
  const all = [...PIECES, ...more, ...(nesting < NESTING ? OUTER_PIECES : [])];
  g.rng.pick(all)(g, nesting);
}

function write(rng: Rng, type: Type, pieces: number, set: KfuncSet | undefined): ProgramSpec {
  const kfuncs = set ? kfuncPieces[set] : [];
  const g: Draft = new Draft(rng, type, nesting => writePiece(g, nesting, kfuncs));
  const { code } = g;
  code.mov(CTX, 1);
  for (let off = 8; off <= INIT_BYTES; off += 8) code.storeImm(8, 10, -off, rng.below(64));
  source(g, SCALAR);
  code.movImm(COUNTER, 0);
  for (let i = 0; i < pieces; i++) writePiece(g, 0, kfuncs);
  code.movImm(0, rng.below(5));
  code.exit();
  if (code.used(g.out)) {
    code.place(g.out);
    code.movImm(0, 1);
    code.exit();
  }
  // Bodies may add further functions.
  for (let i = 0; i < g.functions.length; i++) g.functions[i]();
  const names = set ? { kfuncs: kfuncNumbers } : {};
  return withInsns({ name: 'random', type, license: 'GPL', insns: [], maps: MAPS, ...names }, code.insns());
}

/** Types that may call the kfuncs of a set. */
const TYPES: Record<KfuncSet | 'none', readonly Type[]> = {
  none: ['xdp', 'xdp', 'xdp', 'tc', 'tc', 'socket_filter'],
  kernel: ['xdp', 'tc'],
  test: ['xdp'],
};

/** One random program of one of the three types; with `kfuncs`, of one that may call those. */
export function randomProgram(rng: Rng, kfuncs?: KfuncSet): ProgramSpec {
  const type = rng.pick(TYPES[kfuncs ?? 'none']);
  return write(rng, type, rng.between(1, 7), kfuncs);
}
