/** Kfuncs on the packet that a program was given. Kernel names where Linux has the same (net/core/filter.c). */
import { XDP } from '../helpers/helper.js';
import { defineKfuncs } from './kfunc.js';

export const packetKfuncs = defineKfuncs({}, [
  {
    prototype: 'int bpf_xdp_pull_data(struct xdp_md *x, u32 len)',
    types: XDP,
    gpl: true,
    changesPacket: true,
    doc: 'Makes the first `len` bytes of the packet directly readable; here a packet is one piece and they are. -EINVAL beyond its end.',
  },
]);
