export { bpf_xdp_pull_data } from "./packet";
export {
  bpf_packet_drop, bpf_packet_flush, bpf_packet_send, bpf_pkt_queue_dequeue, bpf_pkt_queue_empty, bpf_pkt_queue_enqueue,
  el_frame_load, el_frame_store, el_pkt_queue_next,
} from "./pkt_queue";
export { bpf_rcu_read_lock, bpf_rcu_read_unlock } from "./rcu";
