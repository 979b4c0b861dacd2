import { readFileSync } from 'node:fs';
import { checkMapConfig, configureMaps } from '../../../host/bpf/config.js';
import { loadElf } from '../../../host/bpf/elf/load.js';
import { createMap } from '../../../host/bpf/maps/index.js';
import { EtherloomError } from '../../../host/errors.js';
import { Arena } from '../../../host/mem/arena.js';
import { instantiateCore } from '../../../host/mem/core.js';
import { formatIp, parsePrefix } from '../../../host/wire/address.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const PROGS = new URL('../../../bpf-progs/', import.meta.url);
const object = loadElf(readFileSync(new URL('obj/firewall.bpf.o', PROGS)), 'firewall');
const arena = Arena.create({ frames: 16, mapBytes: 96 << 20 });
const core = instantiateCore(arena, 1);
const maps = Object.fromEntries(
  Object.entries(object.maps).map(([name, spec]) => [name, createMap(arena, core, spec)]),
);

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EtherloomError('ERR_CONFIG_READ', 'no JSON', { cause });
  }
}

/** A prefix that is taken prints to what reads back as the same. */
function prefix(text: string): void {
  const { bytes, bits } = parsePrefix(text);
  const again = parsePrefix(`${formatIp(bytes)}/${bits}`);
  if (again.bits !== bits || Buffer.compare(again.bytes, bytes))
    throw new Error(`${text} does not read back`);
}

/** Map configurations into the firewall's maps, and the text of addresses and prefixes. */
export const target: FuzzTarget = {
  name: 'map_config',
  maxBytes: 4096,
  // Wall time: one stall of a busy machine is no hang.
  maxMs: 10_000,
  seeds: () =>
    [
      readFileSync(new URL('filters/firewall/config.json', PROGS), 'utf8'),
      '{"rules":[{"key":{"dst":"fd00:10::2","dport":"be16:80"},"value":{"id":1}}]}',
      '{"deny4":[{"key":"10.0.0.0/8","value":"be32:1"}],"nope":[]}',
      '10.0.0.0/8',
      'fd00::10:0:0:1/64',
      '::ffff:10.1.2.3',
    ].map(t => Buffer.from(t)),
  run: input => {
    const text = Buffer.from(input).toString('latin1');
    if (text.startsWith('{')) configureMaps(maps, checkMapConfig(parse(text), 'fuzz.json'), object);
    else prefix(text);
  },
  dictionary: [
    '"key":',
    '"value":',
    '::',
    '/128',
    'be16:65536',
    'be32:',
    '%lo',
    '[',
    '{',
    '1e99',
    '-1',
    '02:00:00:00:00:01',
  ],
};
