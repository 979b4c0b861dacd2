/**
 * The stages of a program at run time. Types say that only verify() makes a VerifiedProgram and only compileProgram a
 * CompiledProgram; an object literal or a spread copy passes the type checker all the same. Here is who really did.
 *
 * The `trustAs…` functions are what verify() and compileProgram end with. Anybody else who calls them answers for the
 * program: tests of one part alone, benchmarks. host/index.ts does not export them.
 */
import { EtherloomError } from '../errors.js';
import type { CompiledProgram } from './jit/compiled.js';
import type { VerifiedProgram } from './verify/verified.js';

const verified = new WeakSet<object>();
const compiled = new WeakSet<object>();

/** Freezes it and takes it for verified. */
export function trustAsVerified<T extends Omit<VerifiedProgram, never>>(program: T): T {
  verified.add(Object.freeze(program));
  return program;
}

/** Freezes it and takes it for the compiler's work on a verified program. */
export function trustAsCompiled<T extends CompiledProgram>(program: T): T {
  compiled.add(Object.freeze(program));
  return program;
}

/** An object that claims a stage that it did not reach. */
export const forged = (name: string | undefined, expected: string): EtherloomError =>
  new EtherloomError('ERR_STAGE_FORGED', `${name ?? 'the program'} did not come from the stage before`, {
    expected,
  });

/** @throws EtherloomError ERR_STAGE_FORGED */
export function requireVerified(program: VerifiedProgram): void {
  if (!verified.has(program)) throw forged(program?.spec?.name, 'what verify() returned, not a copy of it');
}

/** @throws EtherloomError ERR_STAGE_FORGED */
export function requireCompiled(program: CompiledProgram): void {
  if (!compiled.has(program))
    throw forged(program?.spec?.name, 'what compileProgram() returned, not a copy of it');
}
