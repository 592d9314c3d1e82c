/** What a run of the benchmarks leaves behind: the JSON file, and how one of an earlier run is read. */

import type { Machine } from "../bench/machine.ts";
import type { Measurement } from "../bench/question.ts";
import { UsageError } from "./failure.ts";

export interface Answer {
  /** Of the question. */
  name: string;
  question: string;
  /** How long it took to measure. */
  seconds: number;
  measurements: Measurement[];
  /** Why there are no measurements. */
  error?: string;
}

export interface Results {
  machine: Machine;
  /** The form that takes seconds. */
  quick: boolean;
  results: Answer[];
}

/** Checks what was read from `path`. @throws UsageError saying what is not as it should be. */
export function parseResults(value: unknown, path: string): Results {
  const wrong = (what: string): never => {
    throw new UsageError(`${path} is not a file that cleanslab bench wrote: ${what}`);
  };
  if (!isRecord(value)) return wrong("it has no object");
  const { machine, quick, results } = value;
  if (!isMachine(machine)) return wrong('"machine" does not say which Node, processor and date');
  if (typeof quick !== "boolean") return wrong('"quick" is neither true nor false');
  if (!Array.isArray(results)) return wrong('"results" is not an array');
  const answers = results.map((answer: unknown, index) => {
    if (!isAnswer(answer)) return wrong(`"results[${index}]" has no name, question, seconds and measurements`);
    const bad = answer.measurements.findIndex((each) => !isMeasurement(each));
    if (bad >= 0) return wrong(`measurement ${bad} of "${answer.name}" has no rival, at, metric, unit and value`);
    return answer;
  });
  return { machine, quick, results: answers };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isMachine(value: unknown): value is Machine {
  const words = ["version", "node", "v8", "system", "processor", "date"];
  if (!isRecord(value) || !words.every((name) => typeof value[name] === "string")) return false;
  return typeof value["cores"] === "number" && (value["commit"] === null || typeof value["commit"] === "string");
}

function isAnswer(value: unknown): value is Answer {
  return (
    isRecord(value) &&
    typeof value["name"] === "string" &&
    typeof value["question"] === "string" &&
    typeof value["seconds"] === "number" &&
    (value["error"] === undefined || typeof value["error"] === "string") &&
    Array.isArray(value["measurements"])
  );
}

const UNITS: readonly string[] = ["ns", "ms", "bytes", "count", "per second", "×"];

function isMeasurement(value: unknown): value is Measurement {
  if (!isRecord(value)) return false;
  const { rival, at, metric, unit, value: figure, spread, samples } = value;
  const isFigure = (each: unknown): boolean => each === undefined || typeof each === "number" || each === null;
  return (
    typeof rival === "string" &&
    typeof metric === "string" &&
    typeof unit === "string" &&
    UNITS.includes(unit) &&
    typeof figure === "number" &&
    isFigure(spread) &&
    isFigure(samples) &&
    isRecord(at) &&
    Object.values(at).every((each) => typeof each === "number" || typeof each === "string")
  );
}
