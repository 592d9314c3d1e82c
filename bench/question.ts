/**
 * What a file of questions/ gives: which cases there are, what one process does
 * for one of them, and how the figures are laid out. Measuring and showing are
 * apart, so that a JSON file of an earlier run can be shown again.
 */

/** One figure. All of a question's figures are of this shape, whatever it measures. */
export interface Measurement {
  /** Who was measured, e.g. `"new Uint8Array"` or `"before-reuse, acquire"`. */
  rival: string;
  /** Under which circumstances, e.g. `{ byteLength: 4096, alive: 64 }`. */
  at: Readonly<Record<string, number | string>>;
  /** What was measured, e.g. `"time"`, `"collections"`, `"peak resident"`. */
  metric: string;
  unit: "ns" | "ms" | "bytes" | "count" | "×";
  /** The median over rounds, where there is more than one. */
  value: number;
  /** Half the distance between the quartiles, divided by the median: how far to trust it. */
  spread?: number;
  samples?: number;
}

/** Laid out for people. The first column is words, the others are figures. */
export interface Table {
  title: string;
  head: string[];
  rows: string[][];
}

/** `quick` has fewer cases and rounds, and the same method. */
export type Form = "quick" | "full";

/** One case, and what each of its rounds gave. */
export interface Outcome<Input, Result> {
  input: Input;
  runs: readonly Result[];
}

export interface Question<Input = unknown, Result = unknown> {
  /** As its file is called. */
  name: string;
  question: string;
  /** How often each case runs. */
  rounds: Readonly<Record<Form, number>>;
  /** For every process. */
  nodeFlags?: readonly string[];
  /** What is to be run: each a process of its own, in this order, once a round. Plain data. */
  cases(form: Form): readonly Input[] | Promise<readonly Input[]>;
  /** Runs one case, in the process made for it. The result is plain data. */
  run(input: Input): Result | Promise<Result>;
  measurements(outcomes: readonly Outcome<Input, Result>[]): Measurement[];
  tables(measurements: readonly Measurement[]): Table[];
}
