/**
 * Kfuncs over exports that the core has for helpers: every kind of argument and result, in programs that run. Importing
 * this file adds them to the table.
 */

import { defineKfuncs } from '../../host/bpf/kfuncs/kfunc.js';
import { registerKfuncs } from '../../host/bpf/kfuncs.js';

const XDP = ['xdp'] as const;

export const testKfuncs = registerKfuncs(
  defineKfuncs({ structs: { test_number: 8 }, objects: { test_record: 16 } }, [
    {
      prototype: 'struct test_record *test_reserve(void *ring__map, u64 size__k, u64 flags)',
      flags: ['acquire', 'ret_null'],
      types: XDP,
      mapTypes: ['ringbuf'],
      exportName: 'ringbuf_reserve',
      doc: 'A record of 16 bytes, to be given to test_discard.',
    },
    {
      prototype: 'void test_discard(struct test_record *record, u64 flags)',
      flags: ['release'],
      types: XDP,
      exportName: 'ringbuf_discard',
      doc: 'Takes it back.',
    },
    {
      prototype: 'u64 test_query(void *ring__map, u64 what)',
      types: XDP,
      mapTypes: ['ringbuf'],
      exportName: 'ringbuf_query',
      doc: 'How full the ring is.',
    },
    {
      prototype:
        's64 test_sum(const void *from__nullable, u32 from__sz, const void *to__nullable, u32 to__szk, u32 seed)',
      types: XDP,
      exportName: 'csum_diff',
      doc: 'Difference of two checksums.',
    },
    {
      prototype: 'int test_number(const char *text, u32 text__sz, u64 flags, struct test_number *result)',
      types: XDP,
      exportName: 'strtol',
      doc: 'Text as a number.',
    },
    {
      prototype: 'int test_compare(const char *text, u32 text__sz, const char *with__str)',
      types: XDP,
      exportName: 'strncmp',
      doc: 'Compares with a constant string.',
    },
    {
      prototype: 'u32 test_length(struct xdp_md *ctx)',
      types: XDP,
      exportName: 'xdp_get_buff_len',
      doc: 'Bytes of the packet.',
    },
  ]),
);
