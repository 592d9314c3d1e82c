/** Profiles and recordings as files: what is written, and that nothing is lost when it cannot be. */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Timeline } from "cleanslab";
import { recordTimeline, writeProfile } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { expectArenaError, rejectionOf, smallArena, wrong } from "../helpers.ts";
import { temporaryFolder } from "./helpers.ts";

const folder = temporaryFolder();

describe("writeProfile", () => {
  test("writes arena.profile() to a path or a file: URL, and replaces what was there", async () => {
    using arena = smallArena({ trace: "all" });
    const mark = arena.mark();
    arena.acquire(100);
    const path = join(folder, "leases.heapprofile");
    for (const to of [path, pathToFileURL(path)]) {
      writeFileSync(path, "earlier");
      await writeProfile(arena, to);
      expect(readFileSync(path, "utf8")).toContain("1 lease of 100 bytes");
    }
    await writeProfile(arena, path, { since: mark });
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(JSON.parse(JSON.stringify(arena.profile(mark))));
  });

  test("rejects for a path that cannot be written, with the system's reason, and leaves what is there", async () => {
    using arena = smallArena({ trace: "all" });
    const blocked = join(folder, "blocked");
    writeFileSync(blocked, "a file");
    for (const [path, code] of [
      [join(blocked, "a.heapprofile"), "ENOTDIR"],
      [join(folder, "no", "such.heapprofile"), "ENOENT"],
      [folder, "EISDIR|ENOTEMPTY|EEXIST"],
    ] as const) {
      const before = readdirSync(folder);
      const error = await rejectionOf(writeProfile(arena, path));
      expectArenaError(error, "ERR_INVALID_ARGUMENT", path, "can be written");
      expect((error as { cause: { code: string } }).cause.code).toMatch(new RegExp(code));
      expect(readdirSync(folder)).toEqual(before);
    }
    expect(readFileSync(blocked, "utf8")).toBe("a file");
  });

  test("rejects for an empty path, one that is no file's, and a disposed arena", async () => {
    const arena = smallArena();
    for (const path of ["", new URL("http://localhost/a")]) {
      expectArenaError(await rejectionOf(writeProfile(arena, wrong(path))), "ERR_INVALID_ARGUMENT", "path is");
    }
    arena[Symbol.dispose]();
    expectArenaError(await rejectionOf(writeProfile(arena, join(folder, "never"))), "ERR_ARENA_DISPOSED");
    expect(readdirSync(folder)).not.toContain("never");
  });
});

describe("recordTimeline", () => {
  const path = join(folder, "leases.trace.json");

  test("writes what arenas show, until it is ended, as a trace of Chrome's, and no measure of others", async () => {
    const timeline = new Timeline("uploads");
    using arena = smallArena({ timeline });
    const end = new AbortController();
    const recorded = recordTimeline(timeline, path, { ms: 60_000, signal: end.signal });
    performance.measure("another's", { start: 0, end: 1 });
    arena.acquire(10).release();
    arena.acquire(300_000).release();
    end.abort();
    await recorded;
    const { traceEvents } = JSON.parse(readFileSync(path, "utf8"));
    type TraceEvent = { ph: string; ts: number; id2: { local: string }; name: string; args: { detail: string } };
    const begun: TraceEvent[] = traceEvents.filter(({ ph }: TraceEvent) => ph === "b");
    expect(begun.map(({ name }) => name).sort()).toEqual([
      "uploads: active",
      "uploads: idle",
      "uploads: leased",
      "uploads: revoked",
    ]);
    for (const { id2, ts, args } of begun) {
      expect(JSON.parse(args.detail).devtools.trackGroup).toBe("uploads");
      const ended = traceEvents.filter((event: TraceEvent) => event.ph === "e" && event.id2.local === id2.local);
      expect(ended.map((event: TraceEvent) => event.ts >= ts)).toEqual([true]);
    }
    const task = traceEvents.find(({ ph }: TraceEvent) => ph === "X");
    expect(task.ts).toBe(Math.min(...begun.map(({ ts }) => ts)));
  });

  test("writes a trace without entries where nothing happened", async () => {
    await recordTimeline(new Timeline(), path, { ms: 0 });
    const { traceEvents } = JSON.parse(readFileSync(path, "utf8"));
    expect(traceEvents.some(({ ph }: { ph: string }) => ph === "b")).toBe(false);
  });

  test("rejects for a path that cannot be written", async () => {
    const error = await rejectionOf(recordTimeline(new Timeline(), join(folder, "no", "such"), { ms: 0 }));
    expectArenaError(error, "ERR_INVALID_ARGUMENT", "can be written");
  });
});
