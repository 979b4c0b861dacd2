export { el_ready } from "./ready";
