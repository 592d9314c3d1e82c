/**
 * What a contract case is, and how a list of them is run: on any engine, with
 * nothing but ECMAScript, timers and the library that is passed in. Knows no test
 * runner, no Node, no page.
 */

export type Library = typeof import("cleanslab");

/** What a case may use beyond the library. */
export interface Environment {
  /** Asks the engine for a garbage collection; `undefined` where a program cannot. */
  readonly collect: (() => unknown) | undefined;
  /** Skips the case it is called in. */
  skip(reason: string): never;
}

/** `L` is the entry point of the package that the case is about. */
export interface ContractCase<L = Library> {
  /** A sentence. */
  readonly name: string;
  run(library: L, environment: Environment): void | Promise<void>;
}

export interface CaseResult {
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it failed or was skipped. */
  readonly reason?: string;
}

class Skip extends Error {}

export function environmentHere(): Environment {
  return {
    collect: collectorHere(),
    skip(reason) {
      throw new Skip(reason);
    },
  };
}

/** Runs every case, one after another; a case that fails does not stop the rest. */
export async function runContract<L>(library: L, cases: readonly ContractCase<L>[]): Promise<CaseResult[]> {
  const environment = environmentHere();
  const results: CaseResult[] = [];
  for (const { name, run } of cases) {
    try {
      await run(library, environment);
      results.push({ name, outcome: "passed" });
    } catch (error) {
      if (error instanceof Skip) results.push({ name, outcome: "skipped", reason: error.message });
      else results.push({ name, outcome: "failed", reason: describe(error) });
    }
    // Nobody begins with the memories of those before: a page may have few, and a busy machine collects late.
    await new Promise<void>((resolve) => setTimeout(resolve));
    await environment.collect?.();
  }
  return results;
}

/** Node and Chromium with `--expose-gc`, Bun, and pages of a Firefox whose testing utilities are on. */
function collectorHere(): Environment["collect"] {
  const { gc, Bun, TestUtils } = globalThis as {
    gc?: () => unknown;
    Bun?: { gc(synchronous: boolean): unknown };
    TestUtils?: { gc(): Promise<void> };
  };
  if (gc !== undefined) return () => gc();
  if (Bun !== undefined) return () => Bun.gc(true);
  // In Firefox's workers it resolves long before anything is collected.
  if (TestUtils !== undefined && "document" in globalThis) return () => TestUtils.gc();
  return undefined;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `thrown: ${String(error)}`;
  // Firefox and WebKit leave the message out of the stack.
  const stack = error.stack ?? "";
  return stack.includes(error.message) ? stack : `${error.name}: ${error.message}\n${stack}`;
}
