export * from "./helpers/index";
