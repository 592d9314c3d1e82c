/** `writeProfile`: what is written, and that nothing is lost when it cannot be. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { writeProfile } from "cleanslab/node";
import { afterAll, describe, expect, test } from "vitest";
import { expectArenaError, rejectionOf, smallArena, wrong } from "../helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("writeProfile", () => {
  test.each([
    ["a path", (path: string) => path],
    ["a file: URL", pathToFileURL],
  ])("writes arena.profile() to %s, and replaces what was there", async (_, as) => {
    using arena = smallArena({ trace: "all" });
    const mark = arena.mark();
    using lease = arena.acquire(100);
    const path = join(folder, "leases.heapprofile");
    writeFileSync(path, "earlier");
    await writeProfile(arena, as(path));
    const { head } = JSON.parse(readFileSync(path, "utf8"));
    const summary = (node: { callFrame: { functionName: string }; children: (typeof node)[] }): string =>
      node.children[0] === undefined ? node.callFrame.functionName : summary(node.children[0]);
    expect(summary(head)).toContain(`1 lease of ${lease.byteLength} bytes`);
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

  test("rejects for no path, no arena, no mark, and a disposed arena", async () => {
    const arena = smallArena();
    for (const path of [undefined, 5, "", null, new URL("http://localhost/a")]) {
      expectArenaError(await rejectionOf(writeProfile(arena, wrong(path))), "ERR_INVALID_ARGUMENT", "path is");
    }
    const path = join(folder, "never");
    expectArenaError(await rejectionOf(writeProfile(wrong({}), path)), "ERR_INVALID_ARGUMENT", "arena");
    expectArenaError(await rejectionOf(writeProfile(arena, path, wrong(null))), "ERR_INVALID_ARGUMENT", "options");
    expectArenaError(
      await rejectionOf(writeProfile(arena, path, wrong({ since: {} }))),
      "ERR_INVALID_ARGUMENT",
      "since",
    );
    arena[Symbol.dispose]();
    expectArenaError(await rejectionOf(writeProfile(arena, path)), "ERR_ARENA_DISPOSED");
    expect(readdirSync(folder)).not.toContain("never");
  });
});
