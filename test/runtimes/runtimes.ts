/** The runtimes that must pass the contract. CI runs them all. */

export interface Runtime {
  /** As npm knows it. */
  readonly package: string;
  readonly bin: string;
  readonly args: readonly string[];
  /** KiB of address space, so that only few memories fit. */
  readonly addressSpaceKiB?: number;
}

function node(version: string): Runtime {
  return { package: `node@${version}`, bin: "node", args: ["--expose-gc"] };
}

export const RUNTIMES: readonly Runtime[] = [
  // The oldest that package.json allows, then the newest of each line.
  node("20.19.0"),
  node("20"),
  node("22"),
  node("24"),
  node("26"),
  { ...node("26"), addressSpaceKiB: 2 ** 28 },
  { package: "bun", bin: "bun", args: ["run"] },
  // It reads what its workers run, and nothing else is permitted.
  { package: "deno", bin: "deno", args: ["run", "--no-prompt", "--allow-read=.", "--v8-flags=--expose-gc"] },
];
