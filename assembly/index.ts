// The export list of the core, by part. Nothing else lives here.
export * from "./core/index";
export * from "./mem/index";
export * from "./nic/index";
export * from "./wire/index";
export * from "./responder/index";
export * from "./stream/index";
export * from "./cc/index";
export * from "./bpf/index";
