// Error numbers as helpers know them.
export * from "../../core/errno";
