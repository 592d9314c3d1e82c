/** Every misuse is a typed error, and leaves the arena as it was. */

import { Arena } from "cleanslab";
import { SharedArena, type SharedArenaHandle, type SharedLease, type SharedPortHandle } from "cleanslab/shared";
import { describe, expect, test } from "vitest";
import { expectArenaError, expectThrow, thrownBy, wrong } from "../helpers.ts";
import { expectAllBack, expectSound } from "./helpers.ts";

const here = new SharedArena({ maxBytes: 1 << 20 });
const other = new SharedArena({ maxBytes: 1 << 20 });
const { handle } = here;

const NONSENSE = [undefined, null, 0, "x", {}, [], () => {}, Symbol("s"), 10n];
const named = (value: unknown): string => (typeof value === "object" ? JSON.stringify(value) : String(value));

/** A token that was given and adopted. */
function usedToken(): number {
  const token = here.acquire(10).handOver();
  here.adopt(token).release();
  return token;
}

const CASES: [string, () => unknown, Parameters<typeof expectThrow>[1], ...string[]][] = [
  ...[0, -1, 65535, 2 ** 30 + 1, 1e9 + 0.5, Number.NaN, "1", null].map(
    (maxBytes) =>
      [
        `maxBytes ${named(maxBytes)}`,
        () => new SharedArena(maxBytes === null ? wrong(null) : { maxBytes: wrong(maxBytes) }),
        "ERR_INVALID_ARGUMENT",
      ] as [string, () => unknown, "ERR_INVALID_ARGUMENT"],
  ),
  ...NONSENSE.map(
    (value) =>
      [
        `handle ${named(value)}`,
        () => SharedArena.attach(wrong(value)),
        "ERR_INVALID_ARGUMENT",
        "handle",
      ] as (typeof CASES)[number],
  ),
  ...NONSENSE.map(
    (value) =>
      [
        `port handle ${named(value)}`,
        () => here.open(wrong(value)),
        "ERR_INVALID_ARGUMENT",
        "port2",
      ] as (typeof CASES)[number],
  ),
  ...[...NONSENSE, -1, 1.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY].map(
    (value) =>
      [
        `token ${named(value)}`,
        () => here.adopt(wrong(value)),
        "ERR_INVALID_ARGUMENT",
        "handOver()",
      ] as (typeof CASES)[number],
  ),
  [
    "handle of another version",
    () => SharedArena.attach({ ...handle, cleanslab: 99 }),
    "ERR_INVALID_ARGUMENT",
    "99",
    "same version",
  ],
  [
    "handle without its memory",
    () => SharedArena.attach(wrong({ ...handle, data: { buffer: new ArrayBuffer(65536) } })),
    "ERR_INVALID_ARGUMENT",
  ],
  [
    "handle with another module",
    () =>
      SharedArena.attach({ ...handle, bookModule: new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)) }),
    "ERR_INVALID_ARGUMENT",
  ],
  ["port handle of another arena", () => here.open(other.channel().port2), "ERR_INVALID_ARGUMENT", "this arena"],
  ["port1 for another thread", () => here.open(wrong(here.channel().port1)), "ERR_INVALID_ARGUMENT"],
  [
    "port handle with a false capacity",
    () => here.open({ ...here.channel({ capacity: 4 }).port2, capacity: 4096 }),
    "ERR_INVALID_ARGUMENT",
  ],
  [
    "port that is opened twice",
    () => {
      const { port2 } = here.channel();
      here.open(port2);
      SharedArena.attach(handle).open(port2);
    },
    "ERR_PORT_OPENED",
    "another thread",
  ],
  ["token that was adopted", () => here.adopt(usedToken()), "ERR_TOKEN_USED"],
  [
    "token of a block that went on",
    () => {
      const token = usedToken();
      const again = here.acquire(10).handOver();
      try {
        return here.adopt(token);
      } finally {
        here.adopt(again).release();
      }
    },
    "ERR_TOKEN_USED",
  ],
  ["forged token: a later generation", () => here.adopt(usedToken() + 2 ** 52), "ERR_INVALID_ARGUMENT"],
  ["forged token: another block", () => here.adopt(usedToken() + 1000), "ERR_INVALID_ARGUMENT"],
  ["forged token: no such block", () => here.adopt(2 ** 22 - 1), "ERR_INVALID_ARGUMENT"],
  ...[0, -1, 1.5, 65537, "64", null].map(
    (capacity) =>
      [
        `capacity ${named(capacity)}`,
        () => here.channel(wrong({ capacity: capacity ?? Number.NaN })),
        "ERR_INVALID_ARGUMENT",
        "capacity",
      ] as (typeof CASES)[number],
  ),
  ["option misspelt", () => new SharedArena(wrong({ revoke: "never" })), "ERR_INVALID_ARGUMENT", "options.revoke"],
  ["channel option misspelt", () => here.channel(wrong({ capasity: 1 })), "ERR_INVALID_ARGUMENT", "capasity"],
  ["channel options null", () => here.channel(wrong(null)), "ERR_INVALID_ARGUMENT"],
  ...[-1, -2, 1.5, "1", undefined, 2 ** 31].map(
    (threadId) =>
      [
        `threadEnded(${named(threadId)})`,
        () => here.threadEnded(wrong(threadId)),
        "ERR_INVALID_ARGUMENT",
        "at its start",
      ] as (typeof CASES)[number],
  ),
  ["threadEnded of this thread", () => here.threadEnded(here.threadId), "ERR_INVALID_ARGUMENT", "detach()"],
  ...[-1, 1.5, "10", null, 2 ** 32, 10n].map(
    (byteLength) =>
      [
        `acquire(${named(byteLength)})`,
        () => here.acquire(wrong(byteLength)),
        "ERR_INVALID_ARGUMENT",
      ] as (typeof CASES)[number],
  ),
  ["acquireFilled without a function", () => here.acquireFilled(10, wrong(1)), "ERR_INVALID_ARGUMENT"],
  ["use without a function", () => here.use(10, wrong(1)), "ERR_INVALID_ARGUMENT"],
  ["copyOf of no view", () => here.copyOf(wrong({})), "ERR_INVALID_ARGUMENT"],
  [
    "handOver of a private lease",
    () => {
      using lease = new Arena().acquire(10);
      wrong<SharedLease>(lease).handOver();
    },
    "ERR_INVALID_ARGUMENT",
    "SharedArena",
  ],
];

test.each(CASES)("%s", (_, misuse, code, ...fragments) => {
  const before = here.stats();
  expectThrow(misuse, code, ...fragments);
  const { blocks, liveLeases } = here.stats();
  expect({ liveLeases, leased: blocks.leased, inTransit: blocks.inTransit }).toEqual({
    liveLeases: 0,
    leased: before.blocks.leased,
    inTransit: before.blocks.inTransit,
  });
  expectSound(here);
});

test.each([...NONSENSE, "private", "foreign", "released", "pinned"])(
  "a port sends no %s, and nothing is lost",
  (value) => {
    const arena = new SharedArena({ maxBytes: 1 << 20 });
    const { port1 } = arena.channel();
    const lease =
      { private: () => new Arena().acquire(1), foreign: () => other.acquire(1) }[String(value) as "foreign"]?.() ??
      arena.acquire(1);
    if (value === "released") lease.release();
    if (value === "pinned") lease.pin();
    const isLease = typeof value === "string" && value.length > 1;
    const code =
      { released: "ERR_LEASE_RELEASED", pinned: "ERR_LEASE_PINNED" }[String(value)] ?? "ERR_INVALID_ARGUMENT";
    expectArenaError(
      thrownBy(() => port1.trySend(wrong(isLease ? lease : value))),
      code as "ERR_INVALID_ARGUMENT",
    );
    for (const tag of [1.5, 2 ** 31, "1", null]) {
      expectThrow(() => port1.trySend(wrong(lease), wrong(tag)), "ERR_INVALID_ARGUMENT", "tag");
    }
    expect(arena.stats().blocks.inTransit).toBe(0);
    if (value !== "released") lease.release();
  },
);

describe("a token of another arena", () => {
  test("is refused, whatever its block", () => {
    for (let each = 0; each < 500; each++) {
      const token = other.acquire(each).handOver();
      expectThrow(() => here.adopt(token), "ERR_INVALID_ARGUMENT", token);
      other.adopt(token).release();
    }
  });
});

test("1,023 threads may attach, and the next one when one has left", () => {
  const arena = new SharedArena({ maxBytes: 1 << 20 });
  const attached = Array.from({ length: 1022 }, () => SharedArena.attach(arena.handle));
  expect(arena.stats().threads).toBe(1023);
  expectThrow(() => SharedArena.attach(arena.handle), "ERR_LIMIT_EXCEEDED", "1023", "detach()");
  attached.pop()?.detach();
  SharedArena.attach(arena.handle).detach();
  for (const each of attached) each.detach();
  expectAllBack(arena);
});

test.each(
  Object.entries({
    acquire: (arena: SharedArena) => arena.acquire(1),
    "a long acquire": (arena: SharedArena) => arena.acquire(100_000),
    acquireFilled: (arena: SharedArena) => arena.acquireFilled(1, () => 1),
    scope: (arena: SharedArena) => arena.scope(),
    writer: (arena: SharedArena) => arena.writer(),
    adopt: (arena: SharedArena) => arena.adopt(1),
    channel: (arena: SharedArena) => arena.channel(),
    open: (arena: SharedArena) => arena.open(wrong<SharedPortHandle>({})),
    audit: (arena: SharedArena) => arena.audit(),
    trim: (arena: SharedArena) => arena.trim(),
    threadEnded: (arena: SharedArena) => arena.threadEnded(1),
  }),
)("after detach, %s is ERR_ARENA_DISPOSED", (_, use) => {
  const arena = SharedArena.attach(handle);
  arena.acquire(1).release();
  arena.detach();
  arena.detach();
  expectThrow(() => use(arena), "ERR_ARENA_DISPOSED");
});

test("without SharedArrayBuffer the error says which headers to set", () => {
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, "SharedArrayBuffer") as PropertyDescriptor;
  Reflect.deleteProperty(globalThis, "SharedArrayBuffer");
  try {
    for (const make of [() => new SharedArena(), () => SharedArena.attach({} as SharedArenaHandle)]) {
      expectThrow(make, "ERR_SHARED_MEMORY_UNAVAILABLE", "Cross-Origin-Opener-Policy: same-origin", "require-corp");
    }
  } finally {
    Object.defineProperty(globalThis, "SharedArrayBuffer", descriptor);
  }
});
