// Exports of the wire spine, for the host (slow path, tests). Assembly code imports the files themselves.
export {
  check as eth_check, is_tag as eth_is_tag, type as eth_type, set_type as eth_set_type, payload as eth_payload,
  type_before as eth_type_before, tci as eth_tci, set_tci as eth_set_tci, dst as eth_dst, src as eth_src,
  copy_mac as eth_copy_mac, swap_addresses as eth_swap_addresses, emit as eth_emit, emit_tagged as eth_emit_tagged,
} from "./eth";
export {
  check as arp_check, oper as arp_oper, set_oper as arp_set_oper, sha as arp_sha, spa as arp_spa, tha as arp_tha,
  tpa as arp_tpa, emit as arp_emit,
} from "./arp";
export {
  check as ipv4_check, header_bytes as ipv4_header_bytes, tos as ipv4_tos, total_length as ipv4_total_length,
  id as ipv4_id, fragment_offset as ipv4_fragment_offset, more_fragments as ipv4_more_fragments,
  is_fragment as ipv4_is_fragment, ttl as ipv4_ttl, protocol as ipv4_protocol, checksum as ipv4_checksum,
  src as ipv4_src, set_src as ipv4_set_src, dst as ipv4_dst, set_dst as ipv4_set_dst,
  checksum_ok as ipv4_checksum_ok, fill_checksum as ipv4_fill_checksum, decrease_ttl as ipv4_decrease_ttl,
  pseudo as ipv4_pseudo, emit as ipv4_emit,
} from "./ipv4";
export {
  check as ipv6_check, traffic_class as ipv6_traffic_class, flow_label as ipv6_flow_label,
  payload_length as ipv6_payload_length, next_header as ipv6_next_header, hop_limit as ipv6_hop_limit,
  set_hop_limit as ipv6_set_hop_limit, src as ipv6_src, dst as ipv6_dst, is_extension as ipv6_is_extension,
  walk as ipv6_walk, fragment_offset as ipv6_fragment_offset, more_fragments as ipv6_more_fragments,
  fragment_id as ipv6_fragment_id, pseudo as ipv6_pseudo, emit as ipv6_emit, emit_fragment as ipv6_emit_fragment,
  upper_protocol as ipv6_upper_protocol, upper_at as ipv6_upper_at, fragment_at as ipv6_fragment_at,
} from "./ipv6";
export {
  check as icmp_check, type as icmp_type, code as icmp_code, checksum as icmp_checksum, id as icmp_id,
  seq as icmp_seq, checksum_ok as icmp_checksum_ok, fill_checksum as icmp_fill_checksum, emit as icmp_emit,
} from "./icmp";
export {
  check as icmpv6_check, type as icmpv6_type, code as icmpv6_code, checksum as icmpv6_checksum, id as icmpv6_id,
  seq as icmpv6_seq, check_nd as icmpv6_check_nd, target as icmpv6_target, link_address as icmpv6_link_address,
  checksum_ok as icmpv6_checksum_ok, fill_checksum as icmpv6_fill_checksum, emit as icmpv6_emit,
  emit_nd as icmpv6_emit_nd,
} from "./icmpv6";
export {
  check as udp_check, src_port as udp_src_port, set_src_port as udp_set_src_port, dst_port as udp_dst_port,
  set_dst_port as udp_set_dst_port, length as udp_length, checksum as udp_checksum, checksum_ok as udp_checksum_ok,
  fill_checksum as udp_fill_checksum, emit as udp_emit,
} from "./udp";
export {
  check as tcp_check, src_port as tcp_src_port, set_src_port as tcp_set_src_port, dst_port as tcp_dst_port,
  set_dst_port as tcp_set_dst_port, seq as tcp_seq, ack as tcp_ack, header_bytes as tcp_header_bytes,
  flags as tcp_flags, window as tcp_window, checksum as tcp_checksum, check_options as tcp_check_options,
  option as tcp_option, checksum_ok as tcp_checksum_ok, fill_checksum as tcp_fill_checksum, emit as tcp_emit,
} from "./tcp";
export {
  locate as frame_locate, check_frame as frame_check_frame, checksums_ok as frame_checksums_ok, mark_ce as frame_mark_ce,
  l3_at as frame_l3_at, l3_type as frame_l3_type, l3_end as frame_l3_end, is_fragment as frame_is_fragment,
  l4_proto as frame_l4_proto, l4_at as frame_l4_at, l4_bytes as frame_l4_bytes,
} from "./frame";
