/**
 * A program as source: the calls that were made, in their order, as a module of
 * plain JavaScript that runs by itself, with the package and nothing else. Knows
 * no arena; the names of variables are the business of those who speak.
 *
 * T1  Every variable is declared once, in the module's own scope: what was made
 *     within a callback may be used behind it.
 * T2  What the model forgets is forgotten here too, so that the collector finds
 *     what it found before.
 */

import { REST_TURNS } from "./model.js";
import type { Program, Reaction } from "./program.js";

export class Transcript {
  readonly #lines: string[] = [];
  /** Bodies of the callbacks that run at the moment, innermost last. */
  readonly #bodies: string[][] = [];
  readonly #declared = new Set<string>();
  readonly #reassigned = new Set<string>();

  say(line: string): void {
    (this.#bodies.at(-1) ?? this.#lines).push(line);
  }

  /** Waits for whatever is due; once is enough. */
  rest(): void {
    if (this.#lines.at(-1) !== "await rest();") this.say("await rest();");
  }

  assign(name: string, code: string): void {
    const isNew = !this.#declared.has(name);
    this.#declared.add(name);
    if (isNew && this.#bodies.length === 0) {
      this.say(`const ${name} = ${code};`);
      return;
    }
    this.#reassigned.add(name);
    // The call that this body belongs to is said when it has returned: this goes before it.
    if (isNew) this.#lines.push(`let ${name};`);
    this.say(`${name} = ${code};`);
  }

  /** The variables through which the lease of this number could be reached are emptied. */
  forget(serial: number): void {
    const reaches = new RegExp(`^(lease|promise|pin)${serial}(_|$)`);
    const names = [...this.#declared].filter((name) => reaches.test(name));
    for (const name of names) this.#reassigned.add(name);
    if (names.length > 0) this.say(`${names.join(" = ")} = undefined;`);
  }

  /** What is said from here to `close` goes into a function. */
  open(): void {
    this.#bodies.push([]);
  }

  /** What was said since `open`. */
  close(): string {
    const body = this.#bodies.pop() ?? [];
    return body.map((line) => `\n  ${line.replaceAll("\n", "\n  ")}`).join("");
  }

  /** The module, under `title`. */
  source({ options, reaction }: Program, title: string): string {
    const calls = this.#lines.map((line) =>
      line.replace(/^const (\w+) =/, (whole, name: string) => (this.#reassigned.has(name) ? `let ${name} =` : whole)),
    );
    const code = calls.join("\n");
    const helpers = HELPERS.filter(({ calledBy }) => calledBy.test(code));
    return [
      'import assert from "node:assert/strict";',
      ...helpers.flatMap((helper) => helper.imports),
      'import { Arena } from "cleanslab";',
      "",
      `// ${title.replaceAll("\n", "\n// ")}`,
      ...(reaction === "nothing"
        ? [`const create = () => new Arena(${JSON.stringify(options)});`]
        : reactingArena(JSON.stringify(options), REACTION_CODE[reaction])),
      ...helpers.map((helper) => helper.code),
      "let arena = create();",
      "",
      code,
      "",
    ].join("\n");
  }
}

const HELPERS: readonly { calledBy: RegExp; imports: readonly string[]; code: string }[] = [
  {
    calledBy: /\brest\(\)/,
    imports: [],
    code: `const rest = async () => { for (let turn = 0; turn < ${REST_TURNS}; turn++) await undefined; };`,
  },
  {
    calledBy: /\blater\(\)/,
    imports: [],
    code: "const later = () => { let settle; return { promise: new Promise((...both) => { settle = both; }), resolve: (value) => settle[0](value), reject: (reason) => settle[1](reason) }; };",
  },
  {
    calledBy: /\bcollect\(\)/,
    imports: [
      'import { setImmediate } from "node:timers/promises";',
      'import { setFlagsFromString } from "node:v8";',
      'import { runInNewContext } from "node:vm";',
    ],
    code: 'setFlagsFromString("--expose-gc");\nconst gc = runInNewContext("gc");\nconst collect = async () => { await setImmediate(); gc(); await setImmediate(); };',
  },
];

const REACTION_CODE: Record<Reaction, string> = {
  nothing: "",
  acquire: "arena.use(100, (bytes) => bytes.fill(1))",
  trim: "arena.trim()",
  audit: "arena.audit()",
  throw: 'throw new Error("planned")',
  dispose: "arena[Symbol.dispose]()",
};

/** `create`, for an arena with listeners that do not react to what their own reaction brings about. */
function reactingArena(options: string, reaction: string): string[] {
  return [
    'process.on("uncaughtException", (error) => { if (error.message !== "planned") throw error; });',
    "let isReacting = false;",
    "function create() {",
    `  const created = new Arena(${options});`,
    "  const react = () => {",
    "    if (isReacting || created !== arena) return;",
    "    isReacting = true;",
    `    try { ${reaction}; }`,
    '    catch (error) { if (!String(error.code).startsWith("ERR_ARENA_")) throw error; }',
    "    finally { isReacting = false; }",
    "  };",
    '  for (const type of ["leak", "exhausted", "dirty"]) created.addEventListener(type, react);',
    "  return created;",
    "}",
  ];
}
