export { rss_hash, rss_queue, rss_toeplitz } from "./rss";
