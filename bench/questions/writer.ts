/**
 * What it costs to build a message, line by line. Owns the messages and the rivals,
 * each in the way its documentation shows. Lines are made beforehand, so that what
 * is timed is the building.
 */

import { Arena } from "cleanslab";
import { type Batch, COMPILED_AT_ONCE, type Plan, type Timed, time, timings } from "../harness.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import { isInstalled } from "../rivals.ts";
import { figureOf, find, formatLength, formatNs, formatRatio, formatSpread, rivalsIn } from "../tables.ts";

/** A message of this many lines of JSON, about 200 bytes each. */
const LINES = [1, 50, 5000];
const CONTENTS: Readonly<Record<string, string>> = { ASCII: "ascii only", "some UTF-8": "größer – 大きい 🎉" };
const PLANS: Readonly<Record<Form, Plan>> = {
  quick: { warmUpMs: 60, batchMs: 1, batches: 40 },
  full: { warmUpMs: 200, batchMs: 2, batches: 150 },
};

type Build = () => { readonly length: number };
const CONCATENATION = "string concatenation, Buffer.from";
const BL = "bl";

const RIVALS: Readonly<Record<string, (lines: readonly string[], byteLength: number) => Build | Promise<Build>>> = {
  [CONCATENATION]: (lines) => () => {
    let text = "";
    for (const line of lines) text += line;
    return Buffer.from(text);
  },
  "Buffer.concat of Buffer.from": (lines) => () => Buffer.concat(lines.map((line) => Buffer.from(line))),
  [BL]: async (lines) => {
    const { BufferList } = await import("bl");
    return () => {
      const list = new BufferList();
      for (const line of lines) list.append(line);
      return list.slice();
    };
  },
  "growing fresh Buffer": (lines) => () => growing(lines),
  "before-reuse, writer()": (lines) => throughWriter("before-reuse", lines),
  "on-release, writer()": (lines) => throughWriter("on-release", lines),
  "never, writer()": (lines) => throughWriter("never", lines),
  "before-reuse, writer(byteLength)": (lines, byteLength) => throughWriter("before-reuse", lines, byteLength),
};

export interface WriterInput {
  rival: string;
  content: string;
  lines: number;
  plan: Plan;
}

export interface WriterResult extends Timed {
  byteLength: number;
}

export const writer: Question<WriterInput, WriterResult> = {
  name: "writer",
  question: "What does it cost to build a message, line by line, into bytes?",
  rounds: { quick: 1, full: 5 },
  nodeFlags: COMPILED_AT_ONCE,
  cases: (form) =>
    Object.keys(CONTENTS).flatMap((content) =>
      LINES.flatMap((lines) =>
        Object.keys(RIVALS)
          .filter((rival) => rival !== BL || isInstalled(BL))
          .map((rival) => ({ rival, content, lines, plan: PLANS[form] })),
      ),
    ),
  async run({ rival, content, lines, plan }) {
    const all = makeLines(CONTENTS[content] ?? content);
    const message = Array.from({ length: lines }, (_, each) => all[each % all.length] as string);
    const byteLength = Buffer.byteLength(message.join(""));
    const build = await RIVALS[rival]?.(message, byteLength);
    if (build === undefined) throw new Error(`no rival is called "${rival}"`);
    const built = build().length;
    if (built !== byteLength) throw new Error(`${rival} built ${built} bytes, not ${byteLength}`);
    return { ...time(repeat(build), plan), byteLength };
  },
  measurements,
  tables,
};

function repeat(build: Build): Batch {
  return (operations) => {
    let sum = 0;
    for (let each = 0; each < operations; each++) sum += build().length;
    return sum;
  };
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

function throughWriter(
  revoke: "before-reuse" | "on-release" | "never",
  lines: readonly string[],
  byteLength?: number,
): Build {
  const arena = new Arena({ revoke, trace: "off" });
  return () => {
    const message = arena.writer(byteLength);
    for (const line of lines) message.writeString(line);
    const { length } = message.bytes;
    message.release();
    return { length };
  };
}

function measurements(outcomes: readonly Outcome<WriterInput, WriterResult>[]): Measurement[] {
  return outcomes.flatMap(({ input: { rival, content }, runs }) =>
    timings(rival, { content, byteLength: runs[0]?.byteLength ?? 0 }, runs),
  );
}

function tables(measured: readonly Measurement[]): Table[] {
  const keyOf = ({ at }: Measurement): string => `${at["content"]}, ${formatLength(Number(at["byteLength"]))}`;
  return [...new Set(measured.map(keyOf))].map((title) => {
    const figures = measured.filter((each) => keyOf(each) === title);
    const concatenation = figureOf(figures, { rival: CONCATENATION });
    return {
      title,
      head: ["", "ns", "± %", "faster than concatenation"],
      rows: rivalsIn(figures).map((rival) => {
        const found = find(figures, { rival });
        const ns = found?.value ?? Number.NaN;
        return [rival, formatNs(ns), formatSpread(found?.spread), formatRatio(concatenation / ns)];
      }),
    };
  });
}
