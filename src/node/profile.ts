/** Profiles and recordings of time lines as files, for the tools that open them. */

import { rename, rm, writeFile } from "node:fs/promises";
import { type PerformanceMeasure, PerformanceObserver } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Arena } from "../arena.js";
import { type AbortSignalLike, checkSignal, isLength, requireArena, requireOptions } from "../checks.js";
import { ArenaError, invalidArgument } from "../errors.js";
import type { Timeline } from "../index.js";

export interface ProfileOptions {
  /** What was acquired since that mark, in place of what is out. */
  since?: Parameters<Arena["profile"]>[0];
}

/**
 * Writes `arena.profile()` to `path`, which Chrome DevTools, VS Code and speedscope open if
 * it ends in `.heapprofile`. A file that is there is replaced once the new one is whole.
 *
 * @returns a promise that rejects with an ArenaError: `ERR_INVALID_ARGUMENT` for a path that
 *   cannot be written, with the system's error as its `cause`, and as `arena.profile` throws.
 */
export async function writeProfile(arena: Arena, path: string | URL, options: ProfileOptions = {}): Promise<void> {
  requireArena(arena);
  requireOptions(options, ["since"]);
  const target = pathOf(path);
  await writeWhole(target, JSON.stringify(arena.profile(options.since)));
}

export interface RecordingOptions {
  /** How long to record, in milliseconds. Default 5000. */
  ms?: number | undefined;
  /** Ends the recording early; what was recorded is written. */
  signal?: AbortSignal | undefined;
}

/**
 * Records what arenas show on `timeline`, and writes it to `path` as a trace that the
 * Performance panel of Chrome DevTools and Perfetto load. For Node, whose inspector does not
 * hand measures on to a recording; in a page the panel records them itself.
 *
 * @returns a promise that rejects as that of `writeProfile`, for a path at the end.
 */
export async function recordTimeline(
  timeline: Timeline,
  path: string | URL,
  options: RecordingOptions = {},
): Promise<void> {
  if (typeof (Object(timeline) as { flush?: unknown }).flush !== "function") {
    throw invalidArgument("timeline", timeline, "the Timeline that an arena was given");
  }
  requireOptions(options, ["ms", "signal"]);
  const { ms = 5000 } = options;
  if (!isLength(ms)) throw invalidArgument("ms", ms, "a whole number of milliseconds");
  const signal = checkSignal(options.signal as AbortSignalLike | undefined) as AbortSignal | undefined;
  const target = pathOf(path);
  const entries: PerformanceMeasure[] = [];
  const observer = new PerformanceObserver((list) => entries.push(...(list.getEntries() as PerformanceMeasure[])));
  observer.observe({ entryTypes: ["measure"] });
  try {
    await setTimeout(ms, undefined, { signal }).catch(() => {}); // aborted: that is the end
    timeline.flush();
    entries.push(...(observer.takeRecords() as PerformanceMeasure[]));
  } finally {
    observer.disconnect();
  }
  await writeWhole(target, JSON.stringify({ traceEvents: traceOf(entries.filter(isOnTrack)) }));
}

function isOnTrack(entry: PerformanceMeasure): boolean {
  return typeof Object(entry.detail)["devtools"] === "object";
}

/** Chrome's trace events; times in microseconds. */
function traceOf(entries: readonly PerformanceMeasure[]): object[] {
  const at = { pid: process.pid, tid: process.pid };
  const ts = entries.reduce((first, { startTime }) => Math.min(first, startTime), performance.now()) * 1000;
  const end = entries.reduce((last, { startTime, duration }) => Math.max(last, startTime + duration), 0) * 1000;
  const frames = [{ frame: "node", url: "node", name: "", processId: process.pid }];
  return [
    { ...at, ph: "M", cat: "__metadata", name: "process_name", ts: 0, args: { name: process.title } },
    // DevTools looks for a page's main thread, and takes the length of the recording from its tasks.
    { ...at, ph: "M", cat: "__metadata", name: "thread_name", ts: 0, args: { name: "CrRendererMain" } },
    {
      ...at,
      ph: "I",
      s: "t",
      cat: "devtools.timeline",
      name: "TracingStartedInBrowser",
      ts,
      args: { data: { frames } },
    },
    { ...at, ph: "X", cat: "toplevel", name: "RunTask", ts, dur: Math.max(0, end - ts), args: {} },
    ...entries.flatMap(({ name, startTime, duration, detail }, each) => {
      const pair = { ...at, cat: "blink.user_timing", name, id2: { local: `0x${each.toString(16)}` } };
      const args = { startTime, detail: JSON.stringify(detail) };
      return [
        { ...pair, ph: "b", ts: startTime * 1000, args },
        { ...pair, ph: "e", ts: (startTime + duration) * 1000, args: {} },
      ];
    }),
  ];
}

/** A file that is there is replaced once the new one is whole. */
async function writeWhole(target: string, text: string): Promise<void> {
  const made = `${target}.${process.pid}.${Date.now()}`;
  try {
    await writeFile(made, text, { flag: "wx" });
    await rename(made, target);
  } catch (cause) {
    await rm(made, { force: true }).catch(() => {}); // what failed is said below
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `path is ${JSON.stringify(target)}; pass one that can be written: ${why}`;
    throw new ArenaError("ERR_INVALID_ARGUMENT", message, { cause });
  }
}

function pathOf(path: string | URL): string {
  if (typeof path === "string" && path !== "") return path;
  try {
    return fileURLToPath(path);
  } catch {
    throw invalidArgument("path", path, "the path of a file, as a string or a file: URL");
  }
}
