export { el_cc_event, el_cc_init } from "./cc";
