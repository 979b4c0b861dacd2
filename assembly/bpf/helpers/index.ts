export { csum_diff, csum_level, csum_update, l3_csum_replace, l4_csum_replace } from "./csum";
export { spin_lock, spin_unlock } from "./lock";
export { redirect_peer, skb_redirect, xdp_redirect } from "./redirect";
export { skb_load_bytes, skb_load_bytes_relative, skb_pull_data, skb_store_bytes } from "./skb";
export {
  get_hash_recalc, get_socket_cookie, get_socket_uid, set_hash, set_hash_invalid, skb_change_type, skb_ecn_set_ce,
  skb_set_tstamp,
} from "./skb_meta";
export { skb_adjust_room, skb_change_head, skb_change_proto, skb_change_tail } from "./skb_shape";
export { skb_get_tunnel_key, skb_set_tunnel_key } from "./skb_tunnel";
export { skb_insert_tag, skb_vlan_pop, skb_vlan_push } from "./skb_vlan";
export {
  get_numa_node_id, get_prandom_u32, get_smp_processor_id, jiffies64, ktime_get_boot_ns, ktime_get_coarse_ns,
  ktime_get_ns, ktime_get_tai_ns, prandom_seed,
} from "./system";
export {
  xdp_adjust_head, xdp_adjust_meta, xdp_adjust_tail, xdp_get_buff_len, xdp_load_bytes, xdp_store_bytes,
} from "./xdp";
export { skb_check_mtu, skb_fib_lookup, xdp_check_mtu, xdp_fib_lookup } from "./fib";
export { snprintf } from "./format";
export { strncmp, strtol, strtoul } from "./number";
export { redirect_neigh } from "./redirect";
export { clone_redirect } from "./skb_redirect";
export { trace_printk, trace_vprintk } from "./trace";
export { skb_event_output, xdp_event_output } from "./events";
export { redirect_map } from "./redirect_map";
