/** Kfuncs on streams: what a transport does with their bytes (assembly/stream/). Numbers of streams are u32, 0 is none. */
import { XDP } from '../helpers/helper.js';
import { defineKfuncs, type KfuncRow } from './kfunc.js';

const row = (prototype: string, doc: string): KfuncRow => ({ prototype, types: XDP, doc });

export const streamKfuncs = defineKfuncs({}, [
  row(
    'int el_stream_open(u32 app, u32 snd_bytes, u32 rcv_bytes)',
    'Opens a stream of this lane for application `app`, 0 for none. Rings are made at first use, sizes rounded up to a power of two from 2 KiB to 16 MiB, 0 for none; smaller, 2 KiB at least, where memory is scarce. Its number; -ENOMEM: all are open, -ENOBUFS: no memory is left for its rings; -EINVAL.',
  ),
  row(
    'int el_stream_draft(u32 app, u32 snd_bytes, u32 rcv_bytes)',
    'Opens a stream as el_stream_open does, but promises it no memory: it has no rings before el_stream_promise. From then on they grow up to these sizes.',
  ),
  row(
    'int el_stream_promise(u32 id, u32 snd_bytes, u32 rcv_bytes)',
    'Promises the rings of a stream that was opened without: of these sizes at first, or smaller where memory is scarce. 0 when it has them; -ENOBUFS: no memory is left.',
  ),
  row(
    'int el_stream_free(u32 id)',
    'The transport is done with the stream. Its memory is used again when the application, told EL_EV_FREED, let go of it, too. -ENOENT: no open stream of this lane.',
  ),
  row(
    'int el_stream_route(u32 id, u32 ifindex, u32 transport)',
    'The port whose XDP_GEN makes the packets of the stream, and the number of its transport.',
  ),
  row(
    'u32 el_stream_snd_end(u32 id)',
    'Position behind the last byte that the application wrote, modulo 2^32; 0 for no stream.',
  ),
  row(
    'u32 el_stream_rcv_limit(u32 id)',
    'Position up to which the receive ring has room. The application rings when a quarter of the ring more is free.',
  ),
  row(
    'int el_stream_fetch(struct xdp_md *ctx, u32 off, u32 id, u32 pos, u32 len)',
    'Copies bytes of the send ring from position `pos` to the packet at `off`. Their folded sum as bpf_csum_diff has it; -EFAULT outside of the packet, -EINVAL outside of what is written and not acknowledged.',
  ),
  row(
    'int el_stream_place(struct xdp_md *ctx, u32 off, u32 id, u32 pos, u32 len)',
    'Copies bytes of the packet at `off` into the receive ring at position `pos`, which may lie ahead. Their folded sum; -EFAULT, -EINVAL outside of the room, -ENOMEM for the ring.',
  ),
  row(
    'int el_stream_acked(u32 id, u32 pos)',
    'Bytes before `pos` may be overwritten; EL_EV_OUT goes to an application that waits for as much room. No news is no error.',
  ),
  row(
    'int el_stream_received(u32 id, u32 pos)',
    'Bytes before `pos` are the application’s, which is told EL_EV_IN. No news is no error.',
  ),
  row(
    'u32 el_stream_unread(u32 id)',
    'Bytes that were received and that the application has not read; 0 for no stream.',
  ),
  row(
    'u32 el_stream_rcv_size(u32 id, u32 first)',
    'Size of the receive ring; of a stream that was promised none yet, what would be promised of `first` bytes now.',
  ),
  row(
    'int el_stream_widen(u32 id, u32 bytes)',
    'Makes the receive ring larger, up to `bytes` and what the stream was opened for, where there is memory. Nothing may have been placed beyond what was received. Its size then.',
  ),
  row(
    'int el_stream_snd_goal(u32 id, u32 bytes)',
    'The transport could fill a send ring of `bytes`: an application that finds its ring full may get one up to that.',
  ),
  row('u32 el_stream_requests(u32 id)', 'What the application wants, EL_REQ bits: fetched and cleared.'),
  row(
    'int el_stream_event(u32 id, u32 events)',
    'Tells the application EL_EV bits; those of a round are one event, published at its end.',
  ),
  row(
    'u32 el_packet_sum(struct xdp_md *ctx, u32 off, u32 len)',
    'Folded sum of bytes of the packet, not complemented; more than 0xffff outside of it.',
  ),
]);
