/** The hooked build, for tests: every constant, and the addresses of the words. */

export * from "./index";
export * from "./layout";
