/** Kfuncs on packets that wait in a pkt_queue, with eTran's names, and on those that were taken out of one. */
import { QueuedFrameLayout } from '../../layout/layout.gen.js';
import { NET, XDP } from '../helpers/helper.js';
import { defineKfuncs } from './kfunc.js';

/** What a program reads of struct xdp_frame (bpf-progs/include/bpf.h): the rest is the engine's. */
const READABLE = QueuedFrameLayout.next;

export const pktQueueKfuncs = defineKfuncs({ objects: { xdp_frame: READABLE } }, [
  {
    prototype: 'int bpf_pkt_queue_enqueue(struct xdp_md *ctx, void *map__map, u64 bucket)',
    types: XDP,
    mapTypes: ['pkt_queue'],
    doc: 'Puts the packet into a bucket of this lane if the verdict is XDP_REDIRECT. -EINVAL: no such bucket; -ENOSPC: it is full.',
  },
  {
    prototype: 'struct xdp_frame *bpf_pkt_queue_dequeue(void *map__map, u64 bucket)',
    flags: ['acquire', 'ret_null'],
    types: NET,
    mapTypes: ['pkt_queue'],
    doc: 'Takes the oldest packet out of a bucket of this lane. NULL: none, or no room where it was about to go.',
  },
  {
    prototype: 'u64 bpf_pkt_queue_empty(void *map__map, u64 bucket)',
    types: NET,
    mapTypes: ['pkt_queue'],
    doc: '1 when no packet waits in the bucket.',
  },
  {
    prototype: 'u64 el_pkt_queue_next(void *map__map, u64 from)',
    types: NET,
    mapTypes: ['pkt_queue'],
    doc: 'First bucket from `from` on, around the end, in which a packet waits; max_entries when there is none.',
  },
  {
    prototype: 'int bpf_packet_send(struct xdp_frame *frame, u32 ifindex)',
    flags: ['release'],
    types: NET,
    doc: 'Sends the packet out of a port, past its xdp_egress. -ENODEV, -EMSGSIZE, -ENOBUFS: it was dropped.',
  },
  {
    prototype: 'void bpf_packet_drop(struct xdp_frame *frame)',
    flags: ['release'],
    types: NET,
    doc: 'Drops the packet.',
  },
  {
    prototype: 'void bpf_packet_flush(void)',
    types: NET,
    doc: 'Publishes what was sent now rather than at the end of the round.',
  },
  {
    prototype: 'int el_frame_load(const struct xdp_frame *frame, u32 offset, void *to, u32 to__sz)',
    types: NET,
    doc: 'Copies bytes out of the packet. -EFAULT beyond its end.',
  },
  {
    prototype: 'int el_frame_store(struct xdp_frame *frame, u32 offset, const void *from, u32 from__sz)',
    types: NET,
    doc: 'Copies bytes into the packet. -EFAULT beyond its end.',
  },
]);
