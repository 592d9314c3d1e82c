/** The ways to a lease: what a user does with the library on a good day. */

import type { Arena, Lease } from "cleanslab";
import {
  bytesNow,
  check,
  checkEqual,
  checkSame,
  checkSound,
  isAll,
  MODES,
  PAGE_BYTES,
  rejectionOf,
  smallArena,
} from "./check.ts";
import type { ContractCase } from "./contract.ts";

/** The ways to a lease. */
const DOORS: Record<string, (arena: Arena, byteLength: number) => Lease> = {
  acquire: (arena, byteLength) => arena.acquire(byteLength),
  pool: (arena, byteLength) => arena.pool(byteLength).acquire(),
  scope: (arena, byteLength) => arena.scope().acquire(byteLength),
  copyOf: (arena, byteLength) => arena.copyOf(new Float32Array(byteLength / 4)),
  acquireFilled: (arena, byteLength) => arena.acquireFilled(byteLength, (bytes) => bytes.fill(0).length),
  filler: (arena, byteLength) => {
    const filler = arena.filler(byteLength);
    filler.put(new Uint8Array(byteLength));
    return filler.take();
  },
};

export const ways: readonly ContractCase[] = [
  ...MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: a lease by any way is exactly as long as asked, aligned, zero, and another module's pointer`,
      run(library) {
        using arena = smallArena(library, { revoke });
        for (const [door, acquire] of Object.entries(DOORS)) {
          for (const byteLength of [0, 4, 64, 68, 4096, 5000, PAGE_BYTES, 3 * PAGE_BYTES]) {
            for (let round = 0; round < 2; round++) {
              const lease = acquire(arena, byteLength);
              checkSame(
                [lease.bytes.length, lease.byteLength, lease.byteOffset % 16],
                [byteLength, byteLength, 0],
                door,
              );
              check(isAll(lease.bytes, 0), `a lease by ${door} is not zero`);
              lease.bytes.fill(6);
              check(isAll(bytesNow(lease), 6), "memory and byteOffset are not where the bytes are");
              checkEqual(lease.view(Uint32Array).length, byteLength / 4, "the length of another view");
              lease.release();
            }
          }
        }
        arena.assertDrained();
        checkSound(arena);
      },
    }),
  ),
  {
    name: "an arena without options works",
    run({ Arena }) {
      using arena = new Arena();
      arena.use(4096, (bytes) => check(isAll(bytes, 0), "a lease is not zero"));
      const { maxBytes, acquired, released } = arena.stats();
      checkSame([maxBytes, acquired, released], [64 * 1024 * 1024, 1, 1], "maxBytes, acquired, released");
    },
  },
  {
    name: "use gives the bytes back when its function returns, resolves or rejects",
    async run(library) {
      using arena = smallArena(library);
      const length = arena.use(8, (bytes) => bytes.fill(1).length);
      const promise = arena.use(8, async (bytes) => {
        await null;
        return bytes.length;
      });
      checkEqual(arena.stats().liveLeases, 1, "leases during the async function");
      checkSame([length, await promise], [8, 8], "the results");
      const thrown = new Error("thrown on purpose");
      checkEqual(await rejectionOf(arena.use(8, () => Promise.reject(thrown))), thrown, "the rejection");
      arena.assertDrained();
    },
  },
  {
    name: "a scope releases its leases together, and those released earlier are no harm",
    run(library) {
      using arena = smallArena(library);
      const scope = arena.scope();
      scope.acquire(100).release();
      const bytes = scope.bytes(5000).fill(1);
      checkEqual(arena.stats().liveLeases, 1, "liveLeases");
      check(isAll(bytes, 1), "the bytes of the scope changed");
      scope.release();
      arena.assertDrained();
    },
  },
  {
    name: "a copy outlives the lease, on the heap",
    run(library) {
      using arena = smallArena(library, { revoke: "on-release" });
      const lease = arena.copyOf(new Uint8Array([1, 2, 3]));
      const copy = lease.copy();
      lease.release();
      checkSame([...copy], [1, 2, 3], "the copy");
      checkEqual(copy.buffer.byteLength, 3, "the copy's buffer");
    },
  },
  {
    name: "releaseAfter puts off the wipe of wipeOnRelease until its promise settles",
    async run(library) {
      using arena = smallArena(library, { wipeOnRelease: true });
      const lease = arena.acquire(100);
      const bytes = lease.bytes.fill(8);
      let finish: (value: string) => void = () => {};
      const after = lease.releaseAfter(
        new Promise<string>((resolve) => {
          finish = resolve;
        }),
      );
      await null;
      check(lease.released && isAll(bytes, 8), "the bytes did not wait for the promise");
      finish("done");
      checkEqual(await after, "done", "the result");
      check(isAll(bytes, 0), "not wiped after the promise");
      arena.assertDrained();
    },
  },
];
