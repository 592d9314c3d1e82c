/** Can outside code tell a reused buffer from a fresh one? The matrix of test/visible/, printed. */

import { machine } from "../bench/machine.ts";
import { type Matrix, PROBES, runMatrix } from "../test/visible/matrix.ts";
import { printMatrix } from "../test/visible/report.ts";
import { toJson } from "./bench.ts";
import { EXIT, UsageError } from "./failure.ts";
import { openProgress } from "./progress.ts";

export interface ObserveOptions {
  /** Only probes whose name or theme contains it. */
  only?: string;
  /** All that was seen on standard output instead of the matrix. */
  json?: boolean;
}

/** Gives the exit code: a probe that failed is a failure. */
export async function observe({ only = "", json = false }: ObserveOptions): Promise<number> {
  const matrix = await run(only);
  if (json) process.stdout.write(toJson({ machine: machine(), ...matrix }));
  else console.log(printMatrix(matrix));
  return Object.values(matrix.counts).some(({ failed }) => failed > 0) ? EXIT.failed : EXIT.done;
}

async function run(only: string): Promise<Matrix> {
  const probes = PROBES.filter(({ name, theme }) => name.includes(only) || theme.includes(only));
  if (probes.length === 0) {
    const themes = [...new Set(PROBES.map(({ theme }) => theme))].join("; ");
    throw new UsageError(`no probe's name or theme contains "${only}"; the themes are: ${themes}`);
  }
  if (!process.stderr.isTTY) return runMatrix({ probes });
  const progress = openProgress();
  let begun = 0;
  try {
    return await runMatrix({ probes, onProgress: (probe) => progress.step(probe, begun++ / probes.length) });
  } finally {
    progress.clear();
  }
}
