/** Pieces on the stack: at fixed and varying offsets, spilled and filled again. */
import { type Draft, INIT_BYTES, KEPT, SCALAR } from './draft.js';
import { access, address, bound, noise, source } from './scalars.js';
import { useKept } from './values.js';

export function stackConstant(g: Draft): void {
  const { code, rng } = g;
  const bytes = g.size();
  const off = g.near(-bytes * rng.between(1, INIT_BYTES / bytes));
  access(g, 10, bytes, off);
  if (rng.chance(0.4)) code.load(bytes, SCALAR, 10, off);
}

export function stackVariable(g: Draft): void {
  const { rng } = g;
  const bytes = g.size(4);
  const span = rng.pick([8, 16, 32, 64]);
  const off = rng.below(span / 2);
  source(g, 1);
  bound(g, 1, span - bytes - off);
  address(g, 3, 10, -span, 1);
  access(g, 3, bytes === 1 ? 1 : g.rng.chance(0.2) ? bytes : 1, g.near(off));
}

export function spill(g: Draft): void {
  const { code, rng } = g;
  const off = -72 - 8 * rng.below(6);
  if (g.kept && rng.chance(0.6)) {
    code.store(8, 10, off, KEPT);
    if (rng.chance(0.1)) code.storeImm(g.size(), 10, off + rng.below(8), 0);
    if (rng.chance(0.3)) noise(g);
    code.load(8, KEPT, 10, off);
    useKept(g);
  } else {
    const bytes = rng.pick([4, 8, 8]);
    source(g, 1);
    if (rng.chance(0.5)) bound(g, 1, 7);
    code.store(bytes, 10, off, 1);
    if (rng.chance(0.3)) bound(g, 1, 7);
    code.load(rng.chance(0.9) ? bytes : g.size(), 2, 10, off);
    bound(g, 2, 7);
    address(g, 3, 10, -16, 2);
    access(g, 3, 1, 0);
  }
}

/** Stores at a varying place over spills, which are read again afterwards. */
export function spillsOverwritten(g: Draft): void {
  const { code, rng } = g;
  source(g, 1);
  bound(g, 1, 7);
  code.store(8, 10, -72, 1);
  code.store(8, 10, -80, rng.chance(0.5) && g.kept ? KEPT : 1);
  g.either(4, 0, rng.pick([0, 1, 7, 200]));
  code.mov(2, SCALAR);
  bound(g, 2, rng.pick([7, 15]));
  address(g, 3, 10, -80, 2);
  code.store(1, 3, 0, 4);
  code.load(8, 1, 10, rng.pick([-72, -80]));
  if (rng.chance(0.5)) bound(g, 1, 7);
  address(g, 3, 10, -16, 1);
  access(g, 3, 1, 0);
}
