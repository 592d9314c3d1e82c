/** What is checked of the package, and where. */

/** Something about the package that holds, or throws. Answers with what is worth telling. */
export interface Check {
  readonly name: string;
  run(): Promise<string>;
}

/** The consumer's folder, and what the package offers to it. */
export interface Consumer {
  readonly folder: string;
  /** What can be imported: "cleanslab", "cleanslab/…". */
  readonly specifiers: readonly string[];
}
