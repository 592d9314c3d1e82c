/** Which leases are guarded or traced. */

import { describe, expect, test } from "vitest";
import { Sampler } from "../../../src/watch/sampler.ts";

/** What is due for each of `count` leases, as the arena counts them down. */
function dues(sampler: Sampler, count: number): string[] {
  return Array.from({ length: count }, () => {
    if (--sampler.left > 0) return "";
    const { guard, trace } = sampler.next();
    return `${guard ? "g" : ""}${trace ? "t" : ""}`;
  });
}

describe("a sampler", () => {
  test("comes to every lease when every one is traced", () => {
    expect(dues(new Sampler(0, 1), 4)).toEqual(["t", "t", "t", "t"]);
  });

  test("comes to one lease in N, the Nth first", () => {
    expect(dues(new Sampler(3, 0), 7)).toEqual(["", "", "g", "", "", "g", ""]);
  });

  test("keeps guards and traces apart, and together where they meet", () => {
    const due = dues(new Sampler(2, 3), 12);
    expect(due).toEqual(["", "g", "t", "g", "", "gt", "", "g", "t", "g", "", "gt"]);
  });

  test("comes to nothing when nothing is asked for", () => {
    const sampler = new Sampler(0, 0);
    expect(dues(sampler, 1000).join("")).toBe("");
    // Even where it runs out, after a thousand million leases.
    sampler.left = 1;
    expect(dues(sampler, 1000).join("")).toBe("");
  });

  test("takes the largest N there is", () => {
    expect(dues(new Sampler(Number.MAX_SAFE_INTEGER, 2), 4)).toEqual(["", "t", "", "t"]);
  });

  test("traces from the lease at hand on when it is told to, and leaves guards where they were to come", () => {
    const sampler = new Sampler(4, 0);
    expect(dues(sampler, 1)).toEqual([""]);
    sampler.trace(1);
    expect(dues(sampler, 4)).toEqual(["t", "t", "gt", "t"]);
    sampler.trace(0);
    expect(dues(sampler, 4)).toEqual(["", "", "g", ""]);
  });
});
