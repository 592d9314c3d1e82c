/** The published types under several TypeScripts: with nothing but ECMAScript, and with the DOM. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Check, Consumer } from "./check.ts";
import { run } from "./tarball.ts";

/** Every line since 5.7, the first in which a typed array has its buffer as a parameter. */
const COMPILERS = ["5.7", "5.8", "5.9", "6", "7"].map((version) => `typescript-${version}`);

interface Surroundings {
  readonly name: string;
  readonly lib: readonly string[];
  readonly types: readonly string[];
  readonly files: readonly string[];
}

const ECMASCRIPT: readonly string[] = ["es2023", "esnext.disposable"];

const SURROUNDINGS: readonly Surroundings[] = [
  { name: "no DOM, no @types/node", lib: ECMASCRIPT, types: [], files: ["types.ts"] },
  { name: "DOM", lib: [...ECMASCRIPT, "dom"], types: [], files: ["types.ts"] },
  // Every entry point, and what the special ones need.
  { name: "DOM and @types/node", lib: [...ECMASCRIPT, "dom"], types: ["node"], files: ["types.ts", "entries.ts"] },
];

export function typeChecks({ folder, specifiers }: Consumer): Check[] {
  const entries = specifiers.map((each, at) => `export * as entry${at} from ${JSON.stringify(each)};`);
  writeFileSync(join(folder, "entries.ts"), entries.join("\n"));
  return COMPILERS.flatMap((compiler) =>
    SURROUNDINGS.map((surroundings) => ({
      name: `${compiler}, ${surroundings.name}`,
      run: () => compile(folder, compiler, surroundings),
    })),
  );
}

async function compile(folder: string, compiler: string, { lib, types, files }: Surroundings): Promise<string> {
  const project = join(folder, `${compiler}-${types.length}-${lib.length}`);
  mkdirSync(project);
  const config = {
    compilerOptions: {
      lib,
      types,
      target: "es2022",
      module: "nodenext",
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
    },
    files: files.map((file) => `../${file}`),
  };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(folder, "node_modules", compiler, "bin/tsc");
  await run(process.execPath, [tsc, "-p", project], folder);
  return (await run(process.execPath, [tsc, "--version"], folder)).trim();
}
