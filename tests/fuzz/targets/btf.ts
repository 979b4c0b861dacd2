import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeValue, encodeValue } from '../../../host/bpf/btf/codec.js';
import { parseBtf } from '../../../host/bpf/btf/parse.js';
import { definition } from '../../../host/bpf/btf/print.js';
import { layout } from '../../../host/bpf/btf/types.js';
import { readElf } from '../../../host/bpf/elf/reader.js';
import { EtherloomError } from '../../../host/errors.js';
import { FIXTURES } from '../../fixtures/elf/build.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const BYTES = new Uint8Array(512).fill(0x41);

/** A walk that hostile types may refuse, with a code. */
function attempt(body: () => unknown): void {
  try {
    body();
  } catch (error) {
    if (!(error instanceof EtherloomError)) throw error;
  }
}

/** `.BTF` sections: parsed, then every type laid out, printed, decoded and encoded again. */
export const target: FuzzTarget = {
  name: 'btf',
  // Wall time: one stall of a busy machine is no hang.
  maxMs: 10_000,
  seeds: () =>
    ['maps', 'globals', 'calls', 'core', 'externs', 'kfuncs'].flatMap(name => {
      const path = join(FIXTURES, `${name}.bpf.o`);
      return readElf(readFileSync(path), name)
        .sections.filter(s => s.name === '.BTF')
        .map(s => s.data.bytes);
    }),
  run: input => {
    const btf = parseBtf(input, 'fuzz.btf');
    for (let id = 1; id < btf.types.length; id++) {
      const { kind } = btf.types[id];
      attempt(() => definition(btf, id));
      if (kind === 'struct' || kind === 'union') attempt(() => layout(btf, id));
      attempt(() => encodeValue(btf, id, decodeValue(btf, id, BYTES)));
    }
  },
};
