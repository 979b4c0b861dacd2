export { timers_next_due, timers_run } from "./fire";
export { timer_cancel, timer_init, timer_set_callback, timer_start } from "./helpers";
export {
  timers_calling, timers_clear, timers_close, timers_linked, timers_recall, timers_reset, timers_restore, timers_uncall,
} from "./restore";
