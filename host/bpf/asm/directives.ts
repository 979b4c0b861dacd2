/**
 * Directives of the assembler: our own `.map` and `.8byte`, and which ones of GNU as are passed over.
 */
import { decodeInsns, type Insn } from '../insn.js';
import { mapTypeNumber } from '../map_types.js';
import type { MapSpec, MapTypeName } from '../spec.js';
import { type LinePlace, syntaxError } from './tokens.js';

/** Directives of GNU as that mean nothing for the bytes of the code. */
export const IGNORED =
  /^\.(globl|global|hidden|weak|local|protected|p2align|balign|align|type|size|file|loc|ident|addrsig|addrsig_sym|cfi_\w+|comm|set|no_dead_strip)$/;

export const DATA = /^\.(data|bss|rodata)$/;

/** A line that is a directive: its rest need not be made of tokens. A dot also begins local labels (`.Ltmp0:`). */
export const DIRECTIVE = /^(\s*)\.[A-Za-z_]\w*(?![\w.:])(?!\s*:)/;

/** One slot as a number: what the disassembler writes for an instruction that does not exist. */
export function rawSlot(rest: string, place: LinePlace, column: number): Insn[] {
  const text = rest.trim();
  if (!/^(0x[0-9a-f]{1,16}|\d{1,20})$/i.test(text) || BigInt(text) >= 1n << 64n)
    throw syntaxError(place, column, `"${text}"`, 'one unsigned 64-bit number');
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text), true);
  return decodeInsns(bytes);
}

/** The settings of a `.map`; `defined` are the maps above it. */
export function parseMap(
  rest: string,
  defined: ReadonlyMap<string, MapSpec>,
  place: LinePlace,
  column: number,
): MapSpec {
  const [name, type, ...settings] = rest.trim().split(/\s+/);
  const expected =
    '.map NAME TYPE key=4 value=8 max=16 [flags=0] [extra=0] [inner=NAME] [contents=HEX] [frozen]';
  if (!name || !type || mapTypeNumber(type) === undefined)
    throw syntaxError(place, column, `map of type ${type || 'none'}`, expected);
  const spec: MapSpec = {
    name,
    type: type as MapTypeName,
    keySize: 0,
    valueSize: 0,
    maxEntries: 0,
    flags: 0,
  };
  for (const setting of settings) {
    const match = /^(key|value|max|flags|extra)=(0x[0-9a-f]{1,8}|\d{1,10})$/.exec(setting);
    const inner = /^inner=(.+)$/.exec(setting);
    const contents = /^contents=(([0-9a-f]{2})+)$/i.exec(setting);
    if (contents) {
      spec.contents = Uint8Array.from(Buffer.from(contents[1], 'hex'));
      continue;
    }
    if (setting === 'frozen') {
      spec.frozen = true;
      continue;
    }
    if (inner) {
      spec.inner = defined.get(inner[1]);
      if (!spec.inner) throw syntaxError(place, column, `inner map ${inner[1]}`, 'a map defined above');
      continue;
    }
    const value = Number(match?.[2]);
    if (!match || value > 0xffff_ffff) throw syntaxError(place, column, `"${setting}"`, expected);
    const field = (
      { key: 'keySize', value: 'valueSize', max: 'maxEntries', flags: 'flags', extra: 'extra' } as const
    )[match[1] as 'key'];
    spec[field] = value;
  }
  if (spec.contents && spec.contents.length > spec.valueSize)
    throw syntaxError(
      place,
      column,
      `contents of ${spec.contents.length} bytes`,
      `at most ${spec.valueSize}`,
    );
  return spec;
}
