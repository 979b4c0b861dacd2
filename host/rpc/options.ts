/** What callers may say in options: a name that nobody knows is refused, as it was meant to do something. */
import { RpcError } from './errors.js';

export const RPC_OPTIONS = ['carrier', 'deadline', 'limits'] as const;
export const CALL_OPTIONS = ['signal', 'deadline', 'stream'] as const;
export const SERVE_OPTIONS = ['port', 'address', 'carriers', 'stream'] as const;

/** @param whose `call`, `serve` … @throws RpcError ERR_RPC_OPTIONS, which names those that there are */
export function checkOptions(given: unknown, names: readonly string[], whose: string): void {
  if (typeof given !== 'object' || given === null) throw unlike(String(given), names, whose);
  for (const name in given) if (!names.includes(name)) throw unlike(name, names, whose);
}

const unlike = (given: string, names: readonly string[], whose: string): RpcError =>
  new RpcError('ERR_RPC_OPTIONS', `options of ${whose}: ${given}`, { expected: `{ ${names.join(', ')} }` });
