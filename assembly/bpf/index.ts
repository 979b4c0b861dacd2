export * from "./helpers/index";
export * from "./maps/index";
