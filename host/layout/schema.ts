/**
 * The layout schema: every structure that two threads, or Wasm and JavaScript, must agree on.
 * `generate.ts` turns it into AssemblyScript overlays, TypeScript accessors, a C header and a memory map.
 * One file a subject in schema/. Plain data; offsets follow C rules (natural alignment, little-endian) and are never written by hand.
 */
import { arenaStructs } from './schema/arena.js';
import { ccEnums, ccStructs } from './schema/cc.js';
import { contextEnums, contextStructs } from './schema/context.js';
import { fibStructs } from './schema/fib.js';
import { laneEnums, laneStructs } from './schema/lane.js';
import { linkStructs } from './schema/link.js';
import { mapEnums, mapStructs } from './schema/map.js';
import { objectEnums, objectStructs } from './schema/object.js';
import { portEnums, portStructs } from './schema/port.js';
import { responderEnums, responderStructs } from './schema/responder.js';
import { ringStructs } from './schema/ring.js';
import { steerStructs } from './schema/steer.js';
import { appEnums, streamEnums, streamStructs } from './schema/stream.js';
import { transportStructs } from './schema/transport.js';
import type { EnumSchema, StructSchema } from './schema/types.js';
import { wheelEnums, wheelStructs } from './schema/wheel.js';

export { constants } from './schema/constants.js';
export type * from './schema/types.js';

export const enums: EnumSchema[] = [
  ...contextEnums,
  ...portEnums,
  ...responderEnums,
  ...laneEnums,
  ...mapEnums,
  ...objectEnums,
  ...streamEnums,
  ...wheelEnums,
  ...appEnums,
  ...ccEnums,
];

export const structs: StructSchema[] = [
  ...arenaStructs,
  ...laneStructs,
  ...contextStructs,
  ...steerStructs,
  ...mapStructs,
  ...objectStructs,
  ...wheelStructs,
  ...ringStructs,
  ...portStructs,
  ...linkStructs,
  ...fibStructs,
  ...responderStructs,
  ...streamStructs,
  ...transportStructs,
  ...ccStructs,
];
