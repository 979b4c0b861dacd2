/** Homa's packets: bytes as HomaModule has them, to objects and back; the C header says the same. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findClang } from '../../bpf-progs/build.mjs';
import { findType, layout, sizeOf } from '../../host/bpf/btf/types.js';
import { loadElf } from '../../host/bpf/elf/load.js';
import {
  ACK_SIZE,
  ACKS_AT,
  buildHoma,
  COMMON,
  COMMON_SIZE,
  FIELDS,
  HOMA_ACKS,
  HOMA_MAX_MESSAGE,
  HOMA_PROTOCOL,
  type HomaPacket,
  HomaType,
  type HomaTypeName,
  parseHoma,
} from '../../host/wire/homa.js';
import { printLine } from '../../host/wire/index.js';
import { assert, suite } from '../support/suite.js';
import { EACH, EDGES, homaFrame } from './packets.js';

const test = suite('homa: packets');
const PROGS = fileURLToPath(new URL('../../bpf-progs/', import.meta.url));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const NAMES = Object.keys(HomaType) as HomaTypeName[];

test('sizes are those of HomaModule', () => {
  assert.equal(Object.fromEntries(NAMES.map(n => [n, FIELDS[n].size])), {
    DATA: 56,
    GRANT: 33,
    RESEND: 37,
    RPC_UNKNOWN: 28,
    BUSY: 28,
    CUTOFFS: 62,
    FREEZE: 28,
    NEED_ACK: 28,
    ACK: 80,
  });
  assert.is(HOMA_PROTOCOL, 146);
});

test('every type, byte by byte', () => {
  const common = (type: string, doff: string, id: string, ports: string, sequence = '00000000'): string =>
    `${ports}${sequence}000000${type}${doff}00000000000000${id}`;
  const [server, client] = ['81230063', '00638123'];
  const [even, odd] = ['1122334455667788', '1122334455667789'];
  const zeros = (n: number): string => '00'.repeat(n);
  const expected = [
    `${common('10', 'd0', even, server, '000097e0')}0007d15900009c4001020304050607081a2b556601000000000097e0${hex(Uint8Array.from({ length: 100 }, (_, i) => i))}`,
    `${common('11', '50', odd, client)}000a0b0c03`,
    `${common('12', '50', odd, client)}0000057800000af007`,
    common('13', '50', odd, client),
    common('14', '50', odd, client),
    `${common('15', '50', odd, client)}7fffffff000f4240000dbba0000c3500000aae6000003a9800000af0000000c80011`,
    common('16', '50', even, server),
    common('17', '50', odd, client),
    `${common('18', '50', even, server)}000300000000000000020063fffffffffffffffe006400000000000000060065${zeros(20)}`,
  ];
  assert.equal(
    EACH.map(p => hex(buildHoma(p))),
    expected,
  );
});

test('what is built is read as it was', () => {
  for (const packet of [...EACH, ...EDGES]) {
    const read = parseHoma(buildHoma(packet)) as HomaPacket;
    const { sequence, ...rest } = read;
    if (packet.type === 'DATA' && rest.type === 'DATA') {
      assert.is(sequence, packet.offset);
      assert.equal(rest, { ...packet, ack: packet.ack ?? { clientId: 0n, serverPort: 0 } });
    } else assert.equal(rest, packet);
  }
});

test('every prefix of a header is truncated, whatever its type', () => {
  for (const packet of EACH) {
    const bytes = buildHoma(packet);
    for (let n = 0; n < FIELDS[packet.type].size; n++)
      assert.equal(parseHoma(bytes.subarray(0, n)), { problem: 'TRUNCATED' }, `${packet.type} of ${n} bytes`);
  }
});

test('what contradicts itself is refused: unknown types, bytes behind the message, more RPCs than fit', () => {
  const changed = (i: number, at: number, value: number): Uint8Array => {
    const bytes = buildHoma(EACH[i]);
    bytes[at] = value;
    return bytes;
  };
  for (const type of [0, 0x0f, 0x19, 0xff])
    assert.equal(parseHoma(changed(3, 11, type)), { problem: 'BAD_TYPE' });
  assert.equal(parseHoma(changed(0, 53, 0xff)), { problem: 'BAD_LENGTH' });
  assert.equal(parseHoma(changed(8, 29, HOMA_ACKS + 1)), { problem: 'BAD_LENGTH' });
});

test('what no header can say is not built', () => {
  const bad: HomaPacket[] = [
    { ...EACH[1], sport: 0x10000 } as HomaPacket,
    { ...EACH[1], priority: 256 } as HomaPacket,
    { ...EACH[1], senderId: -1n } as HomaPacket,
    { ...EACH[5], cutoffs: [2 ** 32] } as HomaPacket,
    { ...EACH[8], acks: Array.from({ length: 6 }, () => ({ clientId: 2n, serverPort: 1 })) } as HomaPacket,
  ];
  for (const p of bad)
    assert.throws(
      () => buildHoma(p),
      (e: { code: string }) => e.code === 'ERR_HOMA_PACKET',
    );
});

test('traces name them: a line for each, over IPv4, IPv6 and behind a tag', () => {
  assert.equal(EACH.map(p => printLine(homaFrame(p))).slice(0, 3), [
    'IP 10.0.0.1.33059 > 10.0.0.2.99: HOMA DATA, rpc 1234605616436508552, 38880:38980 of 512345, incoming 40000, acks 72623859790382856, again',
    'IP 10.0.0.1.99 > 10.0.0.2.33059: HOMA GRANT, rpc 1234605616436508553, up to 658188, priority 3',
    'IP 10.0.0.1.99 > 10.0.0.2.33059: HOMA RESEND, rpc 1234605616436508553, 1400:4200, priority 7',
  ]);
  const six = printLine(homaFrame(EACH[4], { src: 'fd00::1', dst: 'fd00::2', priority: 7 }));
  assert.is(six, 'IP6 fd00::1.99 > fd00::2.33059: HOMA BUSY, rpc 1234605616436508553');
  assert.match(printLine(homaFrame(EACH[6], { tagged: true, priority: 5 })), /^vlan 0 IP .*HOMA FREEZE/);
});

const missing = findClang() ? undefined : 'no clang';

test(
  'bpf-progs/transports/homa/wire.h has every field at the same place',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-homa-'));
    const structs: Record<string, string> = {
      DATA: 'homa_data',
      GRANT: 'homa_grant',
      RESEND: 'homa_resend',
      CUTOFFS: 'homa_cutoffs',
      ACK: 'homa_acks',
    };
    try {
      const source = join(folder, 'all.c');
      const all = [...Object.values(structs), 'homa_common', 'homa_ack'];
      const constants = ['HOMA_MAX_MESSAGE', 'HOMA_ACKS', 'IPPROTO_HOMA'];
      writeFileSync(
        source,
        `#include "transports/homa/wire.h"
         #include "bpf.h"
         ${all.map(s => `struct ${s} a_${s} = {};`).join('\n')}
         const int numbers[] = { ${[...constants, ...NAMES.map(n => `HOMA_${n}`)].join(', ')} };
         SEC("xdp") int none(struct xdp_md *ctx) { return XDP_PASS; }
         license("GPL");`,
      );
      const object = join(folder, 'all.o');
      const flags = '-std=gnu17 -Wno-missing-braces -O2 -g -target bpf -mcpu=v3 -Iinclude -I.'.split(' ');
      execFileSync(findClang()!.name, [...flags, '-c', source, '-o', object], { cwd: PROGS });
      const { btf } = loadElf(readFileSync(object), object);
      const places = (name: string, base = ''): Map<string, string> => {
        const id = findType(btf!, name, 'struct')!;
        return new Map(layout(btf!, id).map(m => [base + m.name, `${m.bitOffset / 8} ${m.size}`]));
      };
      const size = (name: string): number => sizeOf(btf!, findType(btf!, name, 'struct')!);

      const common = places('homa_common');
      for (const [name, at, bytes] of COMMON) assert.is(common.get(name), `${at} ${bytes}`, name);
      assert.equal([size('homa_common'), size('homa_ack')], [COMMON_SIZE, ACK_SIZE]);
      assert.equal(
        [...places('homa_ack')],
        [
          ['client_id', '0 8'],
          ['server_port', '8 2'],
        ],
      );
      for (const [type, struct] of Object.entries(structs)) {
        const { size: bytes, fields } = FIELDS[type as HomaTypeName];
        assert.is(size(struct), bytes, struct);
        const found = places(struct);
        for (const [name, at, width] of fields) {
          // Arrays and the RPC that DATA acknowledges are one member in C.
          const element = /^(\w+)\[(\d)\]$/.exec(name);
          if (element) assert.is(found.get(element[1]), `${at - Number(element[2]) * width} ${8 * width}`);
          else if (name === 'client_id') assert.is(found.get('ack'), `${at} ${ACK_SIZE}`);
          else if (name === 'server_port') assert.is(at, Number(found.get('ack')!.split(' ')[0]) + 8);
          else assert.is(found.get(name), `${at} ${width}`, `${struct}.${name}`);
        }
      }
      assert.is(places('homa_acks').get('acks'), `${ACKS_AT} ${HOMA_ACKS * ACK_SIZE}`);
      const words = [HOMA_MAX_MESSAGE, HOMA_ACKS, HOMA_PROTOCOL, ...NAMES.map(n => HomaType[n])];
      const bytes = Buffer.from(Uint32Array.from(words).buffer);
      assert.ok(readFileSync(object).includes(bytes), 'constants and types have the same numbers');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  { missing },
);
