export { core_init } from "./lane";
export { clock_set, clock_set_number } from "./clock";
export { test_run_xdp, test_run_skb } from "./test_run";
export { loop_blocked, loop_links_due, loop_next_due, loop_run, loop_run_at } from "./loop";
export { redirect_set } from "./redirect";
