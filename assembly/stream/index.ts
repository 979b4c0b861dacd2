export { stream_attend, stream_bury } from "./bury";
export { el_packet_sum, el_stream_fetch, el_stream_place } from "./bytes";
export {
  el_stream_draft, el_stream_free, el_stream_open, el_stream_promise, el_stream_route, stream_open_on,
} from "./life";
export {
  el_stream_acked, el_stream_event, el_stream_rcv_limit, el_stream_received, el_stream_requests, el_stream_snd_end,
  el_stream_unread,
} from "./position";
export { el_ready } from "./ready";
export { stream_rebuild } from "./recover";
export { el_stream_rcv_size, el_stream_snd_goal, el_stream_widen } from "./rings";
export { el_rtt_backoff, el_rtt_sample } from "./rtt";
export { el_siphash } from "./siphash";
export { stream_turn } from "./turn";
