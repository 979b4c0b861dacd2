/**
 * What an object must hold to be a transport of datagrams: names of maps and programs, all beginning with the transport's
 * name. The C side of it is bpf-progs/include/datagrams.h, where every one of them is made.
 */
import { openObject } from '../../bpf/open.js';
import { EtherloomError } from '../../errors.js';
import type { Records } from '../records.js';
import type { LivePlan } from '../upgrade/live_object.js';

/** By the name that follows `NAME_`. `4` and `6` follow `NAME` at once. */
const MAPS = ['sockets', 'addresses', 'lanes', 'counters'] as const;
const PROGRAMS = ['ingress', 'gen', 'handover'] as const;
/** Maps with an entry for each stream of the engine. */
const PER_STREAM = ['sockets', 'flows', 'clocks'] as const;
/** Fields of a value of `NAME_sockets` that the control plane writes, or reads, and their bytes. */
const FIELDS = { state: 1, family: 1, port: 2, local: 16, drops: 4, errors: 4, error: 4 } as const;

export interface ObjectWishes {
  name: string;
  /** File of clang. */
  object: string;
  sockets: number;
  addresses: number;
  /** Names of counters that tell of errors. */
  errors: readonly string[];
  /** Entries of other maps, by their names in the object. */
  entries: Readonly<Record<string, number>>;
  /** Table of the engine's routes that is the stack's. */
  table: number;
  /** Streams of the engine. */
  streams: number;
}

/** @throws EtherloomError ERR_TRANSPORT_OBJECT when a socket's record is not as the control plane writes it */
export function checkSockets(name: string, { fields }: Records): void {
  for (const [field, bytes] of Object.entries(FIELDS))
    if (fields[field]?.size !== bytes)
      throw new EtherloomError(
        'ERR_TRANSPORT_OBJECT',
        `${name}_sockets: ${field} of ${fields[field]?.size ?? 0} bytes`,
        { expected: `${bytes} bytes, as in struct datagram_socket of "datagrams.h"` },
      );
}

/** How its object is loaded. @throws EtherloomError ERR_TRANSPORT_OBJECT for one that lacks something; what openObject throws */
export function datagramPlan(wishes: ObjectWishes): LivePlan {
  const { name, object, streams, errors } = wishes;
  const { maps, programs } = openObject(object);
  const lacks = (what: string): EtherloomError =>
    new EtherloomError('ERR_TRANSPORT_OBJECT', `transport "${name}": the object has no ${what}`, {
      file: object,
      expected: `what #define TRANSPORT ${name} and #include "datagrams.h" make`,
    });
  for (const m of MAPS) if (!Object.hasOwn(maps, `${name}_${m}`)) throw lacks(`map ${name}_${m}`);
  for (const p of PROGRAMS) if (!Object.hasOwn(programs, `${name}_${p}`)) throw lacks(`program ${name}_${p}`);
  const tables = [`${name}4`, `${name}6`].filter(table => Object.hasOwn(maps, table));
  if (tables.length === 0) throw lacks(`map ${name}4 nor ${name}6`);
  const sizes: Record<string, number> = { [`${name}_addresses`]: wishes.addresses };
  // One more: a socket that gets connected has two entries for a moment.
  for (const table of tables) sizes[table] = Math.min(wishes.sockets, streams) + 1;
  for (const m of PER_STREAM) sizes[`${name}_${m}`] = streams;
  for (const [other, n] of Object.entries(wishes.entries)) {
    if (!Object.hasOwn(maps, other)) throw lacks(`map ${other}`);
    sizes[other] = n;
  }
  const globals = { '.rodata': { [`${name}_table`]: wishes.table } };
  return { name, object, sizes, globals, counters: `${name}_counters`, errors };
}
