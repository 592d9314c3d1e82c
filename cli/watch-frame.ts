/** One picture of a program's arenas, as lines for a terminal. Knows no socket. */

import type { WatchSnapshot } from "cleanslab/node";
import { formatLength } from "../bench/figures.ts";

/** Characters of a function's name, at most: file and line are wanted too. */
const NAME_LENGTH = 24;

type WatchedArena = WatchSnapshot["arenas"][number];

/** @param previous what came before: rates are from one to the other. @param screen to what the lines are cut. */
export function drawWatch(
  snapshot: WatchSnapshot,
  previous: WatchSnapshot | undefined,
  screen: { columns: number; rows: number },
): string[] {
  const width = Math.max(40, screen.columns);
  const { title, pid, uptimeMs, arenas } = snapshot;
  const elapsed = previous === undefined ? 0 : (uptimeMs - previous.uptimeMs) / 1000;
  const lines = [spread(`${lastParts(title)}  pid ${pid}`, `up ${formatMs(uptimeMs)}`, width)];
  // As many sites for each as fit.
  const rows = Math.floor((screen.rows - 2) / Math.max(1, arenas.length));
  const sites = Math.max(1, (rows - 12) >> 1);
  for (const arena of arenas) {
    const before = previous?.arenas.find(({ name }) => name === arena.name);
    lines.push("", ...drawArena(arena, before, elapsed, width, sites));
  }
  return lines.slice(0, screen.rows - 1).map((line) => line.slice(0, width));
}

function drawArena(
  { name, trace, stats, sites, events }: WatchedArena,
  before: WatchedArena | undefined,
  elapsed: number,
  width: number,
  most: number,
): string[] {
  const { segments, oneLease, waited } = stats;
  const rate = (of: "acquired" | "revocations"): string =>
    before === undefined || elapsed <= 0 ? "–" : formatCount((stats[of] - before.stats[of]) / elapsed);
  const average = waited.count === 0 ? 0 : waited.totalMs / waited.count;
  const lines = [
    spread(`── ${name} `, ` trace: ${trace}`, width, "─"),
    bar(stats, width),
    `live ${formatLength(stats.liveBytes)} in ${formatCount(stats.liveLeases)} leases` +
      `${stats.pinnedLeases > 0 ? ` (${stats.pinnedLeases} pinned)` : ""}` +
      ` · resting ${formatLength(stats.restingBytes)} · idle ${formatLength(stats.idleBytes)}`,
    `reserved ${formatLength(stats.reservedBytes)} of ${formatLength(stats.maxBytes)}` +
      ` · headroom ${formatLength(stats.headroomBytes)} · peak ${formatLength(stats.peakReservedBytes)}`,
    `segments: ${segments.active} active, ${segments.retired} full, ${segments.drained} drained` +
      ` · long leases: ${oneLease.leased} out, ${oneLease.idle} idle`,
    `${rate("acquired")} leases/s · ${rate("revocations")} revocations/s` +
      ` · ${(stats.hitRate * 100).toFixed(1)} % without new memory`,
    stats.waiting === 0
      ? `nobody waits · ${waited.count} had to: ${formatMs(average)} on average, ${formatMs(waited.longestMs)} at most`
      : `WAITING: ${stats.waiting} for ${formatLength(stats.waitingBytes)}, the first for ${formatMs(stats.waitingMs)}` +
        ` · ${waited.count} served, ${formatMs(waited.longestMs)} at most`,
  ];
  const amiss = [
    [stats.overflowed, "past the cap"],
    [stats.leakedLeases, "leaked"],
    [stats.dirtyBlocks, "written after release"],
    [stats.strayWrites, "stray writes"],
  ].flatMap(([count, what]) => ((count as number) > 0 ? [`${formatCount(count as number)} ${what}`] : []));
  if (amiss.length > 0) lines.push(`AMISS: ${amiss.join(" · ")}`);
  for (const { byteLength, leases, oldestMs, summary, stack } of sites.slice(0, most)) {
    const { cause } = partsOf(summary);
    const columns = [
      formatLength(byteLength).padStart(9),
      formatCount(leases).padStart(7),
      formatMs(oldestMs).padStart(7),
    ];
    const line = `${columns.join(" ")}  ${placeOf(stack)}`;
    lines.push(
      ...(line.length + cause.length + 2 <= width ? [`${line}  ${cause}`] : [line, `${" ".repeat(9)}${cause}`]),
    );
  }
  if (sites.length > most) lines.push(`          ${sites.length - most} more`);
  const clock = (ms: number): string => new Date(ms).toTimeString().slice(0, 8);
  for (const { atMs, text } of events) {
    const { what, cause, where } = partsOf(text);
    lines.push(`${clock(atMs)} ${what}${where === "" ? "" : ` at ${placeOf(where)}`}`);
    if (cause !== "") lines.push(`${" ".repeat(9)}${cause}`);
  }
  return lines;
}

/** A site's summary in its parts; of any other text, all of it is `what`. */
function partsOf(summary: string): { what: string; cause: string; where: string } {
  const [, what = summary, cause = "", where = ""] =
    /^(.*), oldest [^:]*: (.*); acquired at (.*?)(?:, called by .*)?$/.exec(summary) ?? [];
  return { what, cause, where };
}

/** What the cap is used for: a letter for each share of it. */
function bar(
  { maxBytes, liveBytes, restingBytes, idleBytes, reservedBytes }: WatchedArena["stats"],
  width: number,
): string {
  const legend = "  █ live ▒ resting ░ idle · free";
  const cells = width - legend.length - 2;
  const open = Math.max(0, reservedBytes - liveBytes - restingBytes - idleBytes);
  let [drawn, upTo] = ["", 0];
  for (const [letter, bytes] of [
    ["█", liveBytes],
    ["▒", restingBytes],
    ["░", idleBytes + open],
  ] as const) {
    upTo += bytes;
    drawn = drawn.padEnd(Math.min(cells, Math.round((upTo / maxBytes) * cells)), letter);
  }
  return `[${drawn.padEnd(cells, "·")}]${legend}`;
}

/** Function, file and line of a stack's first frame. */
function placeOf(stack: string): string {
  const [first = ""] = stack.split("\n");
  const [, name = "", file = "", line = ""] =
    /^\s*(?:at )?(?:(.*?) \()?(?:.*[/\\])?(.*?):(\d+):\d+\)?$/.exec(first) ?? [];
  const short = name.length > NAME_LENGTH ? `${name.slice(0, NAME_LENGTH - 1)}…` : name;
  return `${short}${short === "" ? "" : " "}${file}:${line}`;
}

function lastParts(path: string): string {
  return path.split(/[/\\]/).slice(-2).join("/");
}

function spread(left: string, right: string, width: number, between = " "): string {
  return left + between.repeat(Math.max(1, width - left.length - right.length)) + right;
}

function formatMs(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 3_600_000 ? `${Math.round(ms / 60_000)} min` : `${(ms / 3_600_000).toFixed(1)} h`;
}

function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en");
}
