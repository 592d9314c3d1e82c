/**
 * Owns the question and its rivals, each in the way its documentation shows: one
 * message is built line by line, looked at and dropped. Lines are made beforehand,
 * so that what is timed is the building.
 */

import { BufferList } from "bl";
import { type Batch, formatLength, formatNs, formatRatio, measure } from "./harness.ts";
import { type Library, loadLibrary } from "./library.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";

/** A message of this many lines of JSON, about 200 bytes each. */
const CASES = [
  { lines: 1, operations: 2000 },
  { lines: 50, operations: 100 },
  { lines: 5000, operations: 2 },
];
const MODES = ["before-reuse", "on-release", "never"] as const;

const CONCATENATION = "string concatenation, Buffer.from";

export const writer: Question = {
  name: "writer",
  question: "What does it cost to build a message, line by line, into bytes?",
  run,
  tables,
};

async function run({ quick, progress }: RunOptions): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  const contents = { ASCII: makeLines("ascii only"), "some UTF-8": makeLines("größer – 大きい 🎉") };
  const cases = Object.entries(contents).flatMap(([content, lines]) =>
    CASES.map((each) => ({ ...each, content, all: lines })),
  );
  for (const [done, { lines, operations, content, all }] of cases.entries()) {
    const message = Array.from({ length: lines }, (_, each) => all[each % all.length] as string);
    const byteLength = Buffer.byteLength(message.join(""));
    const figures = measure(await rivalsFor(message, byteLength), {
      operations,
      rounds: quick ? 5 : 30,
      progress: (share) => progress((done + share) / cases.length),
    });
    for (const [rival, { ns, spread, samples }] of Object.entries(figures)) {
      const at = { content, byteLength };
      measurements.push({ rival, at, metric: "time", unit: "ns", value: ns, spread, samples });
    }
  }
  return measurements;
}

function makeLines(text: string): string[] {
  return Array.from({ length: 64 }, (_, id) => {
    const line = {
      id,
      time: 1_700_000_000_000 + id,
      level: "info",
      path: `/things/${id}`,
      text,
      ok: true,
      padding: "",
    };
    const padding = "x".repeat(Math.max(0, 199 - Buffer.byteLength(JSON.stringify(line))));
    return `${JSON.stringify({ ...line, padding })}\n`;
  });
}

/** Keeps what a batch computes from being optimised away. */
export let sink = 0;

async function rivalsFor(lines: readonly string[], byteLength: number): Promise<Record<string, Batch>> {
  const rivals: Record<string, Batch> = {
    [CONCATENATION]: each(() => {
      let text = "";
      for (const line of lines) text += line;
      return Buffer.from(text);
    }),
    "Buffer.concat of Buffer.from": each(() => Buffer.concat(lines.map((line) => Buffer.from(line)))),
    bl: each(() => {
      const list = new BufferList();
      for (const line of lines) list.append(line);
      return list.slice();
    }),
    "growing fresh Buffer": each(() => growing(lines)),
  };
  for (const mode of MODES) rivals[`${mode}, writer()`] = await throughWriter(mode, lines);
  rivals["before-reuse, writer(byteLength)"] = await throughWriter("before-reuse", lines, byteLength);
  for (const [name, batch] of Object.entries(rivals)) {
    const before = sink;
    batch(1);
    if (sink - before !== byteLength) throw new Error(`${name} built ${sink - before} bytes, not ${byteLength}`);
  }
  return rivals;
}

function each(build: () => { readonly length: number }): Batch {
  return (operations) => {
    for (let done = 0; done < operations; done++) sink += build().length;
  };
}

/** What one writes by hand: a buffer that doubles, dirty and never wiped. */
function growing(lines: readonly string[]): Uint8Array {
  let buffer = Buffer.allocUnsafe(1024);
  let length = 0;
  for (const line of lines) {
    const most = line.length * 3;
    if (length + most > buffer.length) {
      const longer = Buffer.allocUnsafe(Math.max(buffer.length * 2, length + most));
      buffer.copy(longer, 0, 0, length);
      buffer = longer;
    }
    length += buffer.write(line, length);
  }
  return buffer.subarray(0, length);
}

async function throughWriter(
  revoke: (typeof MODES)[number],
  lines: readonly string[],
  byteLength?: number,
): Promise<Batch> {
  const name = `${revoke}-writer-${byteLength ?? ""}`;
  const { Arena } = await loadLibrary(name);
  const arena: InstanceType<Library["Arena"]> = new Arena({ revoke, trace: "off" });
  return each(() => {
    const writer = arena.writer(byteLength);
    for (const line of lines) writer.writeString(line);
    const { length } = writer.bytes;
    writer.release();
    return { length };
  });
}

function tables(measurements: readonly Measurement[]): Table[] {
  const keyOf = ({ at }: Measurement): string => `${at["content"]}, ${formatLength(Number(at["byteLength"]))}`;
  return [...new Set(measurements.map(keyOf))].map((title) => {
    const figures = measurements.filter((each) => keyOf(each) === title);
    const nsOf = (name: string): number => figures.find(({ rival }) => rival === name)?.value ?? Number.NaN;
    return {
      title,
      head: ["", "ns", "± %", "faster than concatenation"],
      rows: figures.map(({ rival, value, spread = Number.NaN }) => [
        rival,
        formatNs(value),
        (spread * 100).toFixed(0),
        formatRatio(nsOf(CONCATENATION) / value),
      ]),
    };
  });
}
