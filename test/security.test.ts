/** docs/SECURITY.md names a test for every claim: each must be there, under that name. */

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const page = readFileSync("docs/SECURITY.md", "utf8");
const links = [...page.matchAll(/\[([^\]]+)\]\((\.\.\/test\/[^)]+|[A-Z]+\.md)\)/g)].map(
  ([, title = "", path = ""]) => ({
    title,
    file: new URL(path, new URL("../docs/", import.meta.url)),
  }),
);
/** Every section but those that say in their first words that they are not covered. */
const sections = page.split(/^## /m).slice(1);

describe("docs/SECURITY.md", () => {
  test("names tests", () => {
    expect(links.length).toBeGreaterThan(30);
  });

  test.each(links)("names a test that is there: $title", ({ title, file }) => {
    expect(existsSync(file), file.pathname).toBe(true);
    const isNameOfTest = !title.includes("/") && !title.endsWith(".md");
    if (isNameOfTest) expect(readFileSync(file, "utf8")).toContain(`"${title}"`);
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
