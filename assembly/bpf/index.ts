export * from "./helpers/index";
export * from "./kfuncs/index";
export * from "./maps/index";
export * from "./objects/index";
export * from "./timers/index";
