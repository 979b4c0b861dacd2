export { rss_hash, rss_queue, rss_toeplitz } from "./rss";
export { link_next_due, link_pump } from "./link";
export { port_steer } from "./steer";
export { umem_receive, umem_send } from "./umem";
