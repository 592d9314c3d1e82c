/** What a user does with the library on a good day, beyond the ways to a lease that promises.ts goes through. */

import { check, checkEqual, checkSame, isAll, rejectionOf, smallArena } from "./check.ts";
import type { ContractCase } from "./contract.ts";

export const ways: readonly ContractCase[] = [
  {
    name: "use gives the bytes back when its function returns, resolves or rejects; an arena needs no options",
    async run({ Arena }) {
      using arena = new Arena();
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
    name: "acquireFilled waits for a promise of the number of bytes, a scope ends its leases, and a copy outlives its own",
    async run(library) {
      using arena = smallArena(library, { revoke: "on-release" });
      const filled = await arena.acquireFilled(5000, async (bytes) => bytes.fill(3, 0, 3).length - 4997);
      checkSame([...filled.bytes], [3, 3, 3], "what was written");
      const copy = filled.copy();
      filled.release();
      checkSame([copy.buffer.byteLength, ...copy], [3, 3, 3, 3], "the copy and its buffer");
      const scope = arena.scope();
      scope.acquire(100).release();
      check(isAll(scope.bytes(5000), 0), "the bytes of the scope are not zero");
      checkEqual(arena.stats().liveLeases, 1, "liveLeases");
      scope.release();
      arena.assertDrained();
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
