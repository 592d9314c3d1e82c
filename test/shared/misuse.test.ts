/** Every misuse is a typed error, and leaves the arena as it was. */

import { Arena, type ArenaErrorCode } from "cleanslab";
import { SharedArena, type SharedArenaHandle, type SharedLease } from "cleanslab/shared";
import { expect, test } from "vitest";
import { expectThrow, wrong } from "../helpers.ts";
import { expectAllBack, expectSound } from "./helpers.ts";

const here = new SharedArena({ maxBytes: 1 << 20 });
const other = new SharedArena({ maxBytes: 1 << 20 });
const { handle } = here;

const NONSENSE = [undefined, null, 0, "x", {}, [], () => {}, Symbol("s"), 10n];
const named = (value: unknown): string => (value instanceof Object ? value.constructor.name : String(value));

/** A token that was given and adopted. */
function usedToken(): number {
  const token = here.acquire(10).handOver();
  here.adopt(token).release();
  return token;
}

type Case = [name: string, misuse: () => unknown, code: ArenaErrorCode, ...fragments: string[]];

/** A case for each of `values`, which are all invalid arguments. */
function invalid(
  name: string,
  values: readonly unknown[],
  use: (value: never) => unknown,
  ...fragments: string[]
): Case[] {
  return values.map((value) => [
    `${name} ${named(value)}`,
    () => use(wrong(value)),
    "ERR_INVALID_ARGUMENT",
    ...fragments,
  ]);
}

const noBook = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));

const CASES: readonly Case[] = [
  ...invalid(
    "maxBytes",
    [0, 65535, 2 ** 30 + 1, 1e9 + 0.5, Number.NaN, "1"],
    (maxBytes) => new SharedArena({ maxBytes }),
  ),
  ...invalid("options", [null, { revoke: "never" }], (options) => new SharedArena(options), "options"),
  ...invalid("handle", NONSENSE, (value) => SharedArena.attach(value), "handle"),
  ...invalid("handle's data", [{ buffer: new ArrayBuffer(65536) }], (data) => SharedArena.attach({ ...handle, data })),
  ...invalid("module", [noBook], (bookModule) => SharedArena.attach({ ...handle, bookModule })),
  ...invalid("version", [99], (cleanslab) => SharedArena.attach({ ...handle, cleanslab }), "99", "same version"),
  ...invalid("port handle", [...NONSENSE, here.channel().port1], (value) => here.open(value), "port2"),
  ...invalid("port handle of", [other], (arena: SharedArena) => here.open(arena.channel().port2), "this arena"),
  ...invalid("port handle's capacity", [4096], (capacity) => here.open({ ...here.channel().port2, capacity })),
  ...invalid("token", [...NONSENSE, -1, 1.5, Number.NaN, 2 ** 53], (value) => here.adopt(value), "handOver()"),
  // Of a later generation, of another block, and of none.
  ...invalid("forged token", [2 ** 52, 1000], (more: number) => here.adopt(usedToken() + more)),
  ...invalid("forged token", [2 ** 22 - 1], (token) => here.adopt(token)),
  ...invalid("capacity", [0, -1, 1.5, 65537, "64", Number.NaN], (capacity) => here.channel({ capacity }), "capacity"),
  ...invalid("channel options", [null, { capasity: 1 }], (options) => here.channel(options)),
  ...invalid("threadEnded", [-1, 1.5, "1", undefined, 2 ** 31], (value) => here.threadEnded(value), "at its start"),
  ...invalid("threadEnded of this thread", [here.threadId], (value) => here.threadEnded(value), "detach()"),
  ...invalid("acquire", [-1, 1.5, "10", null, 2 ** 32, 10n], (byteLength) => here.acquire(byteLength)),
  ...invalid("acquireFilled with", [1], (write) => here.acquireFilled(10, write)),
  ...invalid("use with", [1], (use) => here.use(10, use)),
  ...invalid("copyOf", [{}], (source) => here.copyOf(source)),
  ...invalid("handOver of a private lease of", [10], handOverPrivate, "SharedArena"),
  ["token that was adopted", () => here.adopt(usedToken()), "ERR_TOKEN_USED"],
  ["token of a block that went on", adoptOld, "ERR_TOKEN_USED"],
  ["port that is opened twice", openTwice, "ERR_PORT_OPENED", "another thread"],
];

function handOverPrivate(byteLength: number): void {
  using lease = new Arena().acquire(byteLength);
  wrong<SharedLease>(lease).handOver();
}

function adoptOld(): SharedLease {
  const token = usedToken();
  const again = here.acquire(10).handOver();
  try {
    return here.adopt(token);
  } finally {
    here.adopt(again).release();
  }
}

function openTwice(): void {
  const { port2 } = here.channel();
  here.open(port2);
  SharedArena.attach(handle).open(port2);
}

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

test("a port sends no nonsense, and nothing is lost", () => {
  const arena = new SharedArena({ maxBytes: 1 << 20 });
  const { port1 } = arena.channel();
  const [lease, pinned, released] = [arena.acquire(1), arena.acquire(1), arena.acquire(1)];
  const pin = pinned.pin();
  released.release();
  const refuse = (value: unknown, code: ArenaErrorCode): void => expectThrow(() => port1.trySend(wrong(value)), code);
  for (const value of [...NONSENSE, new Arena().acquire(1), other.acquire(1)]) refuse(value, "ERR_INVALID_ARGUMENT");
  refuse(released, "ERR_LEASE_RELEASED");
  refuse(pinned, "ERR_LEASE_PINNED");
  for (const tag of [1.5, 2 ** 31, "1", null]) {
    expectThrow(() => port1.trySend(lease, wrong(tag)), "ERR_INVALID_ARGUMENT", "tag");
  }
  pin.release();
  lease.release();
  pinned.release();
  expectAllBack(arena);
});

test("a token of another arena is refused, whatever its block", () => {
  for (let each = 0; each < 500; each++) {
    const token = other.acquire(each).handOver();
    expectThrow(() => here.adopt(token), "ERR_INVALID_ARGUMENT", token);
    other.adopt(token).release();
  }
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

test("after detach everything is ERR_ARENA_DISPOSED", () => {
  const arena = SharedArena.attach(handle);
  arena.acquire(1).release();
  arena.detach();
  arena.detach();
  for (const use of [
    () => arena.acquire(1),
    () => arena.acquire(100_000),
    () => arena.acquireFilled(1, () => 1),
    () => arena.scope(),
    () => arena.writer(),
    () => arena.adopt(1),
    () => arena.channel(),
    () => arena.open(wrong({})),
    () => arena.audit(),
    () => arena.trim(),
    () => arena.threadEnded(1),
  ]) {
    expectThrow(use, "ERR_ARENA_DISPOSED");
  }
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
