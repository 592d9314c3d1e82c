/** The one queue of what an arena tells others: merged, in a microtask, and silent once closed. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { inspect } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { ArenaEventTarget } from "../../../src/watch/events.ts";
import { Notices } from "../../../src/watch/notices.ts";
import type { Trace } from "../../../src/watch/trace.ts";
import { settle } from "../../helpers.ts";

function open() {
  const target = new ArenaEventTarget();
  const order: string[] = [];
  const events: Record<string, unknown>[] = [];
  for (const type of ["leak", "dirty", "stray-write", "exhausted"] as const) {
    target.addEventListener(type, (event) => {
      order.push(type);
      events.push({ ...event, type: event.type });
    });
  }
  const sitesOf = (leaked: readonly Trace[]) => leaked.map(({ byteLength }) => site(byteLength));
  const notices = new Notices(target, () => order.push("serve"), sitesOf);
  const dirty = () => notices.counted("dirty", () => ({ byteOffset: 5, acquired: "a", released: "b" }));
  const exhausted = (byteLength = 1) => notices.counted("exhausted", () => ({ byteLength, reservedBytes: 2 }));
  return { target, notices, order, events, dirty, exhausted };
}

const site = (byteLength: number) => ({
  leases: 1,
  byteLength,
  oldestMs: 0,
  summary: `about ${byteLength} bytes`,
  stack: "",
});
const trace = (byteLength: number) => ({ byteLength }) as Trace;

describe("a notice", () => {
  test("comes in a microtask, merged with those of its kind: a count, and the rest of the last one", async () => {
    const { notices, events, order, dirty, exhausted } = open();
    exhausted(10);
    dirty();
    exhausted(20);
    exhausted(30);
    notices.counted("stray-write", () => ({ byteOffset: 7, sites: [] }));
    notices.wake();
    expect(order).toEqual([]);
    await Promise.resolve();
    // Those who wait are served before, once for all that is pending.
    expect(order).toEqual(["serve", "exhausted", "dirty", "stray-write"]);
    expect(events).toMatchObject([
      { type: "exhausted", count: 3, byteLength: 30, reservedBytes: 2 },
      { type: "dirty", count: 1, byteOffset: 5, acquired: "a", released: "b" },
      { type: "stray-write", count: 1, byteOffset: 7 },
    ]);
    exhausted(40);
    await settle();
    expect(events.at(-1)).toMatchObject({ count: 1, byteLength: 40 });
    notices.wake();
    await settle();
    expect(order.slice(4)).toEqual(["serve", "exhausted", "serve"]);
  });

  test("of leaks adds up leases and bytes, and asks for the sites of all of them", async () => {
    const { notices, events } = open();
    notices.leak(2, 30, [trace(10), trace(20)]);
    notices.leak(1, 15, [trace(15)]);
    await settle();
    expect(events).toMatchObject([{ leases: 3, byteLength: 45, sites: [site(10), site(20), site(15)] }]);
  });

  test("asks for its details when it is sent: that may run the caller's code", async () => {
    const { notices, order } = open();
    notices.counted("dirty", () => {
      order.push("details");
      return { byteOffset: 0, acquired: undefined, released: undefined };
    });
    await settle();
    expect(order).toEqual(["serve", "details", "dirty"]);
  });

  test("is scheduled with what the engine has, whatever was put in its place", async () => {
    const { events, exhausted } = open();
    const then = vi.spyOn(Promise.prototype, "then").mockImplementation(() => expect.unreachable());
    exhausted();
    then.mockRestore();
    await settle();
    expect(events).toHaveLength(1);
  });

  test("that its own listener causes comes later, as one of its own", async () => {
    const { target, events, exhausted } = open();
    let more = 3;
    target.addEventListener("exhausted", () => {
      if (more-- > 0) exhausted();
    });
    exhausted();
    await settle();
    expect(events.map(({ count }) => count)).toEqual([1, 1, 1, 1]);
  });

  test("is a line for each site where Node prints it, or one that says how to learn the site", async () => {
    const { target, notices, exhausted } = open();
    const printed: string[] = [];
    const hint = "set trace: 'sampled' to see where each was acquired";
    for (const type of ["leak", "dirty", "stray-write", "exhausted"] as const) {
      target.addEventListener(type, (event) => void printed.push(inspect(event)));
    }
    notices.leak(3, 60, [trace(10), trace(20)]);
    notices.counted("dirty", () => ({
      byteOffset: 5,
      acquired: "    at a (x.js:1:2)\n    at b (x.js:3:4)",
      released: "    at c (x.js:5:6)",
    }));
    notices.counted("stray-write", () => ({ byteOffset: 7, sites: [site(10), site(20)] }));
    exhausted(5);
    exhausted(6);
    await settle();
    notices.leak(28, 840_000, []);
    notices.counted("dirty", () => ({ byteOffset: 5, acquired: undefined, released: undefined }));
    notices.counted("stray-write", () => ({ byteOffset: 7, sites: [] }));
    await settle();
    expect(printed).toEqual([
      "leak: about 10 bytes\nleak: about 20 bytes",
      "dirty: count 1, byteOffset 5, acquired at a (x.js:1:2), released at c (x.js:5:6)",
      "stray-write: about 10 bytes\nstray-write: about 20 bytes",
      "exhausted: count 2, byteLength 6, reservedBytes 2",
      `leak: leases 28, byteLength 840000, ${hint}`,
      "dirty: count 1, byteOffset 5",
      `stray-write: count 1, byteOffset 7, ${hint}`,
    ]);
  });
});

test("once closed, nothing more is told, and nothing that stands behind in the queue", async () => {
  const { target, notices, events, dirty, exhausted } = open();
  target.addEventListener("dirty", () => notices.close());
  dirty();
  exhausted();
  await settle();
  notices.leak(1, 1, []);
  exhausted();
  await settle();
  expect(events.map(({ type }) => type)).toEqual(["dirty"]);
});

test("a tally is one message with a count and the bytes together, for subscribers alone", async () => {
  const { target, notices } = open();
  const messages: unknown[] = [];
  const listener = (message: unknown): void => void messages.push(message);
  notices.tally("acquire", 1);
  subscribe("cleanslab:acquire", listener);
  notices.tally("acquire", 10);
  notices.tally("acquire", 20);
  expect(messages).toEqual([]);
  await settle();
  notices.tally("acquire", 5);
  await settle();
  unsubscribe("cleanslab:acquire", listener);
  expect(messages).toEqual([
    { arena: target, count: 2, byteLength: 30 },
    { arena: target, count: 1, byteLength: 5 },
  ]);
});
