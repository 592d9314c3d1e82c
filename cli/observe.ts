/** Can outside code tell a reused buffer from a fresh one? The matrices of test/visible/, printed. */

import { machine } from "../bench/machine.ts";
import { BUFFERS, type Matrix, type Plan, runMatrix, THREADS } from "../test/visible/matrix.ts";
import type { Probe } from "../test/visible/probe.ts";
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
  const chosen = <A>(plan: Plan<A>): Plan<A> => ({
    ...plan,
    probes: plan.probes.filter((probe) => isNamed(probe, only)),
  });
  const [buffers, threads] = await run(chosen(BUFFERS), chosen(THREADS), only);
  if (json) process.stdout.write(toJson({ machine: machine(), ...buffers, threads }));
  else
    console.log(
      [buffers, threads]
        .filter(({ rows }) => rows.length > 0)
        .map(printMatrix)
        .join("\n\n\n"),
    );
  const cells = [buffers, threads].flatMap(({ counts }) => Object.values(counts));
  return cells.some(({ failed }) => failed > 0) ? EXIT.failed : EXIT.done;
}

function isNamed({ name, theme }: Pick<Probe, "name" | "theme">, only: string): boolean {
  return name.includes(only) || theme.includes(only);
}

async function run(buffers: typeof BUFFERS, threads: typeof THREADS, only: string): Promise<[Matrix, Matrix]> {
  const count = buffers.probes.length + threads.probes.length;
  if (count === 0) {
    const themes = [...new Set([...BUFFERS.probes, ...THREADS.probes].map(({ theme }) => theme))].join("; ");
    throw new UsageError(`no probe's name or theme contains "${only}"; the themes are: ${themes}`);
  }
  console.error(`${count} probes.${only === "" ? " They take a minute or two." : ""}`);
  const progress = process.stderr.isTTY ? openProgress() : undefined;
  let begun = 0;
  const step = (probe: string): void => progress?.step(probe, begun++ / count);
  try {
    return [await runMatrix(buffers, step), await runMatrix(threads, step)];
  } finally {
    progress?.clear();
  }
}
