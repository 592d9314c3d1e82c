/** The one queue of what an arena tells others: merged, in a microtask, and silent once closed. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
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
  const notices = new Notices(
    target,
    () => order.push("serve"),
    (leaked) => leaked.map(({ byteLength }) => site(byteLength)),
  );
  return { target, notices, order, events };
}

const site = (byteLength: number) => ({ leases: 1, byteLength, oldestMs: 0, summary: "", stack: "" });
const trace = (byteLength: number): Trace => ({
  place: {},
  ptr: 0,
  byteLength,
  weight: 1,
  since: 0,
  acquired: "",
  released: undefined,
  isPinned: false,
});

describe("a notice", () => {
  test("comes in a microtask, and not before", async () => {
    const { notices, order } = open();
    notices.counted("exhausted", () => ({ byteLength: 10, reservedBytes: 20 }));
    expect(order).toEqual([]);
    await Promise.resolve();
    expect(order).toEqual(["serve", "exhausted"]);
  });

  test("is merged with those of its kind: a count, and the rest of the last one", async () => {
    const { notices, events, order } = open();
    notices.counted("exhausted", () => ({ byteLength: 10, reservedBytes: 1 }));
    notices.counted("dirty", () => ({ byteOffset: 5, acquired: "a", released: "b" }));
    notices.counted("exhausted", () => ({ byteLength: 20, reservedBytes: 2 }));
    notices.counted("exhausted", () => ({ byteLength: 30, reservedBytes: 3 }));
    notices.counted("stray-write", () => ({ byteOffset: 7, sites: [] }));
    await settle();
    expect(order).toEqual(["serve", "exhausted", "dirty", "stray-write"]);
    expect(events).toMatchObject([
      { type: "exhausted", count: 3, byteLength: 30, reservedBytes: 3 },
      { type: "dirty", count: 1, byteOffset: 5, acquired: "a", released: "b" },
      { type: "stray-write", count: 1, byteOffset: 7 },
    ]);
    notices.counted("exhausted", () => ({ byteLength: 40, reservedBytes: 4 }));
    await settle();
    expect(events.at(-1)).toMatchObject({ count: 1, byteLength: 40 });
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
    expect(order).toEqual([]);
    await settle();
    expect(order).toEqual(["serve", "details", "dirty"]);
  });

  test("that its own listener causes comes later, as one of its own", async () => {
    const { target, notices, events } = open();
    let more = 3;
    target.addEventListener("exhausted", () => {
      if (more-- > 0) notices.counted("exhausted", () => ({ byteLength: 1, reservedBytes: 0 }));
    });
    notices.counted("exhausted", () => ({ byteLength: 1, reservedBytes: 0 }));
    expect(events).toHaveLength(0);
    await settle();
    expect(events.map(({ count }) => count)).toEqual([1, 1, 1, 1]);
  });

  test("serves those who wait before it is told, once for all that is pending", async () => {
    const { notices, order } = open();
    notices.wake();
    notices.wake();
    notices.counted("dirty", () => ({ byteOffset: 0, acquired: undefined, released: undefined }));
    await settle();
    expect(order).toEqual(["serve", "dirty"]);
    notices.wake();
    await settle();
    expect(order).toEqual(["serve", "dirty", "serve"]);
  });

  test("is scheduled with what the engine has, whatever was put in its place", async () => {
    const { notices, events } = open();
    const { then } = Promise.prototype;
    let calls = 0;
    // biome-ignore lint/suspicious/noThenProperty: replacing it is what this is about.
    Promise.prototype.then = () => {
      calls++;
      throw new Error("replaced");
    };
    try {
      notices.counted("exhausted", () => ({ byteLength: 10, reservedBytes: 20 }));
    } finally {
      // biome-ignore lint/suspicious/noThenProperty: as above.
      Promise.prototype.then = then;
    }
    await settle();
    expect([calls, events.length]).toEqual([0, 1]);
  });

  test("finds a listener that is an object, one that listens once, and none that was removed", async () => {
    const target = new ArenaEventTarget();
    const heard: string[] = [];
    const removed = (): void => void heard.push("removed");
    target.addEventListener("dirty", removed);
    target.addEventListener("dirty", () => heard.push("once"), { once: true });
    target.addEventListener("dirty", { handleEvent: () => heard.push("object") });
    target.removeEventListener("dirty", removed);
    const notices = new Notices(
      target,
      () => {},
      () => [],
    );
    for (let each = 0; each < 2; each++) {
      notices.counted("dirty", () => ({ byteOffset: 0, acquired: undefined, released: undefined }));
      await settle();
    }
    expect(heard).toEqual(["once", "object", "object"]);
  });
});

describe("once closed", () => {
  test("nothing is told, of what was pending and of what comes", async () => {
    const { notices, events } = open();
    notices.leak(1, 1, []);
    notices.close();
    notices.leak(1, 1, []);
    notices.counted("exhausted", () => ({ byteLength: 1, reservedBytes: 0 }));
    notices.wake();
    await settle();
    expect(events).toEqual([]);
  });

  test("in a listener, the notices behind it are not told", async () => {
    const { target, notices, events } = open();
    target.addEventListener("dirty", () => notices.close());
    notices.counted("dirty", () => ({ byteOffset: 0, acquired: undefined, released: undefined }));
    notices.counted("exhausted", () => ({ byteLength: 1, reservedBytes: 0 }));
    await settle();
    expect(events.map(({ type }) => type)).toEqual(["dirty"]);
  });
});

test("an event that Node prints shows what it says", async () => {
  const { target, notices } = open();
  const printed: string[] = [];
  target.addEventListener("exhausted", (event) => void printed.push(inspect(event)));
  notices.counted("exhausted", () => ({ byteLength: 5, reservedBytes: 7 }));
  await settle();
  expect(printed).toEqual(["{ type: 'exhausted', count: 1, byteLength: 5, reservedBytes: 7 }"]);
});

describe("a tally", () => {
  test("is one message with a count and the bytes together, for subscribers alone", async () => {
    const { target, notices } = open();
    const messages: object[] = [];
    const listener = (message: unknown): void => void messages.push(message as object);
    notices.tally("acquire", 1);
    subscribe("cleanslab:acquire", listener);
    try {
      notices.tally("acquire", 10);
      notices.tally("acquire", 20);
      expect(messages).toEqual([]);
      await settle();
      notices.tally("acquire", 5);
      await settle();
    } finally {
      unsubscribe("cleanslab:acquire", listener);
    }
    expect(messages).toEqual([
      { arena: target, count: 2, byteLength: 30 },
      { arena: target, count: 1, byteLength: 5 },
    ]);
  });
});
