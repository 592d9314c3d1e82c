/** docs/threat-model.md names a file of tests for every claim: each must be there. */

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const url = new URL("../../docs/threat-model.md", import.meta.url);
const page = readFileSync(url, "utf8");
const links = [...page.matchAll(/\[([^\]]+)\]\((\.\.\/test\/[^)#]+)\)/g)].map(([, title = "", path = ""]) => ({
  title,
  file: new URL(path, url),
}));
const sections = page.split(/^## /m).slice(1);

describe("docs/threat-model.md", () => {
  test("names tests", () => {
    expect(links.length).toBeGreaterThan(10);
  });

  test.each(links)("names a file that is there: $title", ({ file }) => {
    expect(existsSync(file), file.pathname).toBe(true);
  });

  test.each(sections.filter((section) => section.includes("**Invariant.**")))(
    "says idea, invariant, cost, test and limits of %s",
    (section) => {
      for (const part of ["**Idea.**", "**Invariant.**", "**Cost.**", "**Held by** [", "**Not covered.**"]) {
        expect(section).toContain(part);
      }
    },
  );
});
