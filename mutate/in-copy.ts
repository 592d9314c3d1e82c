/**
 * The process that runs a copy's tests, there: it stays from fault to fault, so
 * that what has not changed need not be transformed again. Runs the files asked for
 * in the order given, tells of each test that ends, and stops at the first that
 * fails by more than its time limit.
 */

import { join } from "node:path";
import { createVitest, type TestCase, type TestModule, type TestSuite } from "vitest/node";

/** What to run, and what to read anew. */
export interface Order {
  readonly files: readonly string[];
  readonly changed: readonly string[];
}

/** Something went on; or a test failed, at its time limit or otherwise; or the run has ended. */
export interface News {
  readonly kind: "alive" | "limit" | "failure" | "end";
  readonly file?: string;
  readonly test?: string;
}

/** Milliseconds. */
const TEST_LIMIT = 30_000;
/** So many time limits, and what else would fail is not waited for. */
const ENOUGH_LIMITS = 3;

let limits = 0;
let hasFailed = false;

function tell(news: News): void {
  process.send?.(news);
}

function fail(file: string, test: string, errors: readonly { message: string }[]): void {
  if (hasFailed) return;
  const isLimit = errors.every(({ message }) => /^(Test|Hook) timed out in \d+ms/.test(message));
  tell({ kind: isLimit ? "limit" : "failure", file, test });
  if (isLimit) limits++;
  hasFailed = !isLimit || limits === ENOUGH_LIMITS;
  if (hasFailed) void vitest.cancelCurrentRun("test-failure");
}

function failInModule({ relativeModuleId }: TestModule, errors: readonly { message: string }[]): void {
  const [error] = errors;
  if (error !== undefined) fail(relativeModuleId, `outside any test: ${error.message.slice(0, 100)}`, errors);
}

const vitest = await createVitest("test", {
  watch: false,
  cache: false,
  maxWorkers: 1,
  testTimeout: TEST_LIMIT,
  hookTimeout: TEST_LIMIT,
  sequence: {
    // As given.
    sequencer: class {
      shard<T>(files: T): T {
        return files;
      }
      sort<T>(files: T): T {
        return files;
      }
    },
  },
  reporters: [
    {
      onTestModuleStart: ({ relativeModuleId: file }) => tell({ kind: "alive", file }),
      onTestCaseReady: ({ module, fullName: test }) => tell({ kind: "alive", file: module.relativeModuleId, test }),
      onTestCaseResult(test: TestCase) {
        const { state, errors = [] } = test.result();
        if (state === "failed") fail(test.module.relativeModuleId, test.fullName, errors);
        else tell({ kind: "alive" });
      },
      onTestSuiteResult: (suite: TestSuite) => failInModule(suite.module, suite.errors()),
      onTestModuleEnd(module) {
        failInModule(module, module.errors());
        failInModule(module, vitest.state.getUnhandledErrors() as { message: string }[]);
      },
      onTestRunEnd: ([module], errors) => {
        if (module !== undefined) failInModule(module, errors);
      },
    },
  ],
});

process.on("disconnect", () => process.exit());
process.on("message", async ({ files, changed }: Order) => {
  limits = 0;
  hasFailed = false;
  for (const file of changed) vitest.invalidateFile(join(process.cwd(), file));
  const project = vitest.getRootProject();
  await vitest.runTestSpecifications(files.map((file) => project.createSpecification(join(process.cwd(), file))));
  tell({ kind: "end" });
});
