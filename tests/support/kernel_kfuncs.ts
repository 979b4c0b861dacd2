/**
 * Kfuncs of Linux 6.18 that this engine has no use for, with the kernel's prototypes and flags: so that both verifiers
 * can be asked about the very same programs. Importing this file adds them to the table; nothing ever runs them.
 */

import { defineKfuncs, type KfuncRow } from '../../host/bpf/kfuncs/kfunc.js';
import { registerKfuncs } from '../../host/bpf/kfuncs.js';

const XDP_TC = ['xdp', 'tc'] as const;
const TRUSTED = { types: XDP_TC, gpl: true, doc: 'For comparison with the kernel.' };

const rows: KfuncRow[] = [
  // kernel/bpf/helpers.c, generic_btf_ids
  {
    ...TRUSTED,
    prototype: 'struct task_struct *bpf_task_from_pid(s32 pid)',
    flags: ['acquire', 'ret_null'],
  },
  {
    ...TRUSTED,
    prototype: 'struct task_struct *bpf_task_acquire(struct task_struct *p)',
    flags: ['acquire', 'ret_null'],
  },
  { ...TRUSTED, prototype: 'void bpf_task_release(struct task_struct *p)', flags: ['release'] },
  // net/netfilter/nf_conntrack_bpf.c
  {
    ...TRUSTED,
    types: ['xdp'],
    prototype:
      'struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *xdp_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)',
    flags: ['acquire', 'ret_null'],
  },
  {
    ...TRUSTED,
    types: ['tc'],
    prototype:
      'struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)',
    flags: ['acquire', 'ret_null'],
  },
  { ...TRUSTED, prototype: 'int bpf_ct_change_timeout(struct nf_conn *nfct, u32 timeout)' },
  { ...TRUSTED, prototype: 'void bpf_ct_release(struct nf_conn *nfct)', flags: ['release'] },
  {
    ...TRUSTED,
    types: ['xdp'],
    prototype:
      'struct nf_conn___init *bpf_xdp_ct_alloc(struct xdp_md *xdp_ctx, struct bpf_sock_tuple *bpf_tuple, u32 tuple__sz, struct bpf_ct_opts *opts, u32 opts__sz)',
    flags: ['acquire', 'ret_null'],
  },
  { ...TRUSTED, prototype: 'void bpf_ct_set_timeout(struct nf_conn___init *nfct, u32 timeout)' },
  {
    ...TRUSTED,
    prototype: 'struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *nfct_i)',
    flags: ['acquire', 'release', 'ret_null'],
  },
  // net/netfilter/nf_nat_bpf.c; the address is a union there, the direction an enum
  {
    ...TRUSTED,
    prototype:
      'int bpf_ct_set_nat_info(struct nf_conn___init *nfct, struct nf_inet_addr *addr, int port, u32 manip)',
  },
  // kernel/bpf/helpers.c, common_btf_ids
  { ...TRUSTED, prototype: 'int bpf_strlen(const char *s__ign)' },
  // Gives an untrusted pointer there; the programs leave it alone.
  { ...TRUSTED, prototype: 'u64 bpf_rdonly_cast(const void *obj__ign, u32 btf_id__k)' },
  {
    ...TRUSTED,
    prototype:
      'int bpf_stream_vprintk_impl(int stream_id, const char *fmt__str, const void *args, u32 len__sz, void *aux__ign)',
  },
  // kernel/bpf/map_iter.c; there the map is a `const struct bpf_map *`
  {
    ...TRUSTED,
    prototype: 's64 bpf_map_sum_elem_count(const void *map__map)',
    mapTypes: ['hash', 'array', 'percpu_hash', 'lru_hash'],
  },
];

registerKfuncs(
  defineKfuncs(
    { structs: { nf_inet_addr: 16 }, objects: { task_struct: 16, nf_conn: 4, nf_conn___init: 4 } },
    rows,
  ),
);
