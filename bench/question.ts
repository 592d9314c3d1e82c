/**
 * What a file of this folder gives: one question, how it is measured, and how
 * its figures are laid out as tables. Measuring and showing are apart, so that
 * the terminal, the README's markdown and the page with charts show the same
 * figures, and a JSON file of an earlier run can be shown again.
 */

/** One figure. All of a question's figures are of this shape, whatever it measures. */
export interface Measurement {
  /** Who was measured, e.g. `"new Uint8Array"` or `"before-reuse, acquire"`. */
  rival: string;
  /** Under which circumstances, e.g. `{ byteLength: 4096, alive: 64 }`. */
  at: Readonly<Record<string, number | string>>;
  /** What was measured, e.g. `"time"`, `"collections"`, `"peak resident"`. */
  metric: string;
  unit: "ns" | "ms" | "bytes" | "count" | "per second" | "×";
  /** The median, where there is more than one sample. */
  value: number;
  /** Half the distance between the quartiles over the median: how far to trust it. */
  spread?: number;
  samples?: number;
}

/** Laid out for people. The first column is words, the others are figures. */
export interface Table {
  title: string;
  head: string[];
  rows: string[][];
}

export interface RunOptions {
  /** A form that takes seconds: fewer cases and rounds, the same method. */
  quick: boolean;
  /** Told what share of the work is done, 0 to 1. */
  progress(share: number): void;
}

export interface Question {
  /** As the file is called. */
  name: string;
  question: string;
  run(options: RunOptions): Promise<Measurement[]>;
  tables(measurements: readonly Measurement[]): Table[];
}
