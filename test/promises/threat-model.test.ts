/** docs/threat-model.md names a test for every claim: each must be there, under that name. */

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const url = new URL("../../docs/threat-model.md", import.meta.url);
const page = existsSync(url) ? readFileSync(url, "utf8") : "";
const links = [...page.matchAll(/\[([^\]]+)\]\((\.\.\/test\/[^)#]+)\)/g)].map(([, title = "", path = ""]) => ({
  title,
  file: new URL(path, url),
}));
const sections = page.split(/^## /m).slice(1);

describe.skipIf(page === "")("docs/threat-model.md", () => {
  test("names tests", () => {
    expect(links.length).toBeGreaterThan(10);
  });

  test.each(links)("names a test that is there: $title", ({ title, file }) => {
    expect(existsSync(file), file.pathname).toBe(true);
    const isNameOfTest = !title.includes("/") && !title.endsWith(".md");
    if (isNameOfTest) expect(readFileSync(file, "utf8").includes(title), `${title} in ${file.pathname}`).toBe(true);
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
