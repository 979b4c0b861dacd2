// The core and the loops that tests and benchmarks run inside Wasm (asconfig.json, target "bench"). Never shipped: what is
// shipped is ../index.ts.
export * from "../index";
export { csum_plain, csum_turn, csum_turn_plain } from "./checksum_turn";
export { ring_consume_numbers, ring_produce_numbers, ring_turn_numbers } from "./ring_turn";
export { rss_turn, rss_turn_plain } from "./rss_turn";
export { stream_copies, stream_echo, stream_echo_until, stream_plain_copies } from "./stream_turn";
