export { core_init } from "./lane";
export { clock_set } from "./clock";
