/** Who is named for a lease that an adapter acquires in a callback: whoever called the adapter. */

import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { PassThrough, Readable } from "node:stream";
import type { Lease } from "cleanslab";
import { collect, eachFileLease, readFileLeases, readSocketLeases } from "cleanslab/node";
import { collect as collectWeb, readLeases } from "cleanslab/web";
import { describe, expect, test } from "vitest";
import { collectGarbageUntil, PAGE_BYTES, releaseAll, SEGMENT_BYTES, smallArena } from "../helpers.ts";
import { serveTcp } from "./helpers.ts";

const file = `${import.meta.dirname}/../../build/call-sites.bin`;
writeFileSync(file, new Uint8Array(300_000));

type Acquire = (arena: ReturnType<typeof smallArena>) => Promise<Lease[]>;

/** Each holds what it read, and is named for it. */
const CALLERS: Record<string, Acquire> = {
  async collectsAKnownLength(arena) {
    return [await collect(Readable.from([Buffer.alloc(100)]), arena, { byteLength: 100 })];
  },
  async collectsAnUnknownLength(arena) {
    const chunks = Array.from({ length: 20 }, () => Buffer.alloc(10_000));
    return [await collect(Readable.from(chunks), arena, { limit: 300_000 })];
  },
  async collectsOnceThereIsRoom(arena) {
    const held = arena.acquire(4 * SEGMENT_BYTES);
    const body = collect(Readable.from([Buffer.from("abc")]), arena, { byteLength: 3, waitForRoom: true });
    held.release();
    return [await body];
  },
  async readsAFile(arena) {
    const leases: Lease[] = [];
    for await (const lease of readFileLeases(file, arena)) leases.push(lease);
    return leases;
  },
  async readsEachOfAFile(arena) {
    const leases: Lease[] = [];
    await eachFileLease(file, arena, {}, (lease) => void leases.push(lease));
    return leases;
  },
  async readsASocket(arena) {
    const { port, close } = await serveTcp((peer) => peer.end(Buffer.alloc(200_000)));
    const leases: Lease[] = [];
    const socket = readSocketLeases((onread) => connect({ port, onread }), arena, {
      onLease: (lease) => void leases.push(lease),
    });
    await once(socket, "close");
    await close();
    return leases;
  },
  async collectsABlob(arena) {
    return [await collectWeb(new Blob([new Uint8Array(1000)]), arena, { limit: 1000 })];
  },
  async readsABlob(arena) {
    const leases: Lease[] = [];
    for await (const lease of readLeases(new Blob([new Uint8Array(1000)]), arena)) leases.push(lease);
    return leases;
  },
};

describe("a lease that an adapter acquires", () => {
  test.each(Object.keys(CALLERS))("is its caller's: %s", async (name) => {
    using arena = smallArena({ trace: "all" });
    const leases = await (CALLERS[name] as Acquire)(arena);
    expect(leases.length).toBeGreaterThan(0);
    const { sites } = arena;
    expect(sites.reduce((sum, { leases }) => sum + leases, 0)).toBe(leases.length);
    for (const { stack } of sites) expect(stack).toMatch(new RegExp(`${name} .*call-sites\\.test`));
    releaseAll(leases);
  });

  test("does not keep its caller, or what that leaked, while the adapter still reads", async () => {
    using arena = smallArena({ trace: "all" });
    const stream = new PassThrough();
    class Caller {
      readonly leaked = arena.acquire(PAGE_BYTES + 1);
      readonly body = collect(stream, arena, { limit: 1000 });
    }
    const { body } = new Caller();
    stream.write("some");
    await collectGarbageUntil(() => arena.stats().leakedLeases === 1);
    expect(arena.stats().leakedLeases).toBe(1);
    stream.end();
    (await body).release();
  });
});
