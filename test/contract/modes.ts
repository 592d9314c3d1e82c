/**
 * What each mode says of a stale view, and the ways to leases: what a user does
 * with the library on a good day.
 */

import type { Arena, Lease } from "cleanslab";
import {
  bytesNow,
  check,
  checkEqual,
  checkSame,
  checkSound,
  fillUp,
  isAll,
  MODES,
  PAGE_BYTES,
  REVOKING_MODES,
  rejectionOf,
  smallArena,
} from "./check.ts";
import type { ContractCase } from "./contract.ts";

/** Everything of a dead view that code may lean on. */
function checkDead(view: Uint8Array, what: string): void {
  checkEqual(view.length, 0, `the length of ${what}`);
  checkEqual(view[0], undefined, `a byte of ${what}`);
  let thrown: unknown;
  try {
    view.set([1]);
  } catch (error) {
    thrown = error;
  }
  check(thrown instanceof Error, `set on ${what} did not throw`);
}

const staleViews: readonly ContractCase[] = [
  {
    name: "before-reuse: a stale view reads zeros at first, and is dead before its bytes are anyone else's",
    run(library) {
      using arena = smallArena(library, {});
      const lease = arena.acquire(1024);
      const stale = lease.bytes.fill(7);
      lease.release();
      check(stale.length === 1024 && isAll(stale, 0), "it does not read zeros");
      for (let round = 0; round < 3000 && stale.length > 0; round++) {
        const next = arena.acquire(1024);
        next.bytes.fill(9);
        check(isAll(stale, 0), "it reads the next owner's bytes");
        next.release();
      }
      checkDead(stale, "the stale view");
      check(arena.stats().revocations > 0, "no revocation was counted");
    },
  },
  {
    name: "on-release: a stale view is dead at once",
    run(library) {
      using arena = smallArena(library, { revoke: "on-release" });
      for (let round = 0; round < 10; round++) {
        const lease = arena.acquire(1024);
        const part = lease.bytes.subarray(8);
        const stale = lease.bytes.fill(7);
        lease.release();
        checkDead(stale, "the stale view");
        checkDead(part, "a part of it");
      }
      checkEqual(arena.stats().revocations, 10, "revocations");
      checkEqual(arena.stats().reservedBytes, PAGE_BYTES, "reservedBytes");
    },
  },
  {
    name: "on-release: the buffer of a lease is its own",
    run(library) {
      using arena = smallArena(library, { revoke: "on-release" });
      const one = arena.acquire(100);
      const other = arena.acquire(100);
      check(one.bytes.buffer !== other.bytes.buffer, "two leases share a buffer");
      one.release();
      checkEqual(other.bytes.length, 100, "the length of the other");
      other.release();
    },
  },
  {
    name: "never: a stale view lives, and sees the next owner's bytes",
    run(library) {
      using arena = smallArena(library, { revoke: "never" });
      const lease = arena.acquire(1024);
      const stale = lease.bytes.fill(7);
      lease.release();
      check(stale.length === 1024 && isAll(stale, 0), "it does not read zeros");
      const next = arena.acquire(1024);
      next.bytes.fill(9);
      check(isAll(stale, 9), "the block most recently released was not the next handed out");
      next.release();
      checkEqual(arena.stats().revocations, 0, "revocations");
    },
  },
  ...MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: with guardEvery one lease in N dies at release`,
      run(library) {
        using arena = smallArena(library, { revoke, guardEvery: 10 });
        let guards = 0;
        for (let each = 0; each < 100; each++) {
          const lease = arena.acquire(100);
          const stale = lease.bytes.fill(7);
          if (lease.origin === "guard") guards++;
          const isGuard = lease.origin === "guard";
          lease.release();
          if (isGuard) checkDead(stale, "a guard's view");
        }
        checkEqual(guards, 10, "guards");
        checkSound(arena);
      },
    }),
  ),
];

/** The ways to a lease. */
const DOORS: Record<string, (arena: Arena, byteLength: number) => Lease> = {
  acquire: (arena, byteLength) => arena.acquire(byteLength),
  pool: (arena, byteLength) => arena.pool(byteLength).acquire(),
  scope: (arena, byteLength) => arena.scope().acquire(byteLength),
  copyOf: (arena, byteLength) => arena.copyOf(new Float32Array(byteLength / 4)),
};

const doors: readonly ContractCase[] = MODES.flatMap((revoke) =>
  Object.entries(DOORS).map(
    ([door, acquire]): ContractCase => ({
      name: `${revoke}: a lease by ${door} is exactly as long as asked, aligned, zero, and another module's pointer`,
      run(library) {
        using arena = smallArena(library, { revoke });
        for (const byteLength of [0, 4, 64, 68, 4096, 5000, PAGE_BYTES, 3 * PAGE_BYTES]) {
          for (let round = 0; round < 2; round++) {
            const lease = acquire(arena, byteLength);
            checkEqual(lease.bytes.length, byteLength, "length");
            checkEqual(lease.byteLength, byteLength, "byteLength");
            checkEqual(lease.byteOffset % 16, 0, "the alignment");
            check(isAll(lease.bytes, 0), "it is not zero");
            lease.bytes.fill(6);
            check(isAll(bytesNow(lease), 6), "memory and byteOffset are not where the bytes are");
            checkEqual(lease.view(Uint32Array).length, byteLength / 4, "the length of another view");
            lease.release();
            check(isAll(bytesNow(lease), 0), "it is not wiped");
          }
        }
        arena.assertDrained();
        checkSound(arena);
      },
    }),
  ),
);

const ways: readonly ContractCase[] = [
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
    name: "use gives the bytes back when its function returns, throws, resolves or rejects",
    async run(library) {
      using arena = smallArena(library);
      checkEqual(
        arena.use(8, (bytes) => bytes.fill(1).length),
        8,
        "the result",
      );
      const thrown = new Error("thrown on purpose");
      let caught: unknown;
      try {
        arena.use(8, () => {
          throw thrown;
        });
      } catch (error) {
        caught = error;
      }
      checkEqual(caught, thrown, "what use throws");
      const promise = arena.use(8, async (bytes) => {
        await null;
        return bytes.length;
      });
      checkEqual(arena.stats().liveLeases, 1, "leases during the async function");
      checkEqual(await promise, 8, "the async result");
      checkEqual(await rejectionOf(arena.use(8, () => Promise.reject(thrown))), thrown, "the rejection");
      arena.assertDrained();
    },
  },
  {
    name: "a scope releases its leases together, and those released earlier are no harm",
    run(library) {
      using arena = smallArena(library);
      const scope = arena.scope();
      const first = scope.acquire(100);
      const bytes = scope.bytes(5000).fill(1);
      first.release();
      checkEqual(arena.stats().liveLeases, 1, "liveLeases");
      scope.release();
      check(isAll(bytes, 0), "not wiped");
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
  ...MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: release({ written }) hides what was vouched for from the next owner`,
      run(library) {
        using arena = smallArena(library, { revoke });
        for (let round = 0; round < 50; round++) {
          const lease = arena.acquire(4096);
          check(isAll(lease.bytes, 0), "a lease is not zero");
          lease.bytes.fill(5, 0, 300);
          lease.release({ written: 300 });
          check(isAll(bytesNow(lease), 0), "it is not wiped");
        }
        checkSound(arena);
      },
    }),
  ),
  {
    name: "a pin puts off the wipe, and releaseAfter does so for a promise",
    async run(library) {
      using arena = smallArena(library);
      const lease = arena.acquire(100);
      const bytes = lease.bytes.fill(7);
      const pin = lease.pin();
      lease.release();
      check(lease.released && isAll(bytes, 7), "the pin did not keep the bytes");
      pin.release();
      check(isAll(bytes, 0), "not wiped by the last pin");

      const other = arena.acquire(100);
      const written = other.bytes.fill(8);
      let finish: (value: string) => void = () => {};
      const after = other.releaseAfter(
        new Promise<string>((resolve) => {
          finish = resolve;
        }),
      );
      await null;
      check(other.released && isAll(written, 8), "the bytes did not wait for the promise");
      finish("done");
      checkEqual(await after, "done", "the result");
      check(isAll(written, 0), "not wiped after the promise");
      arena.assertDrained();
    },
  },
  {
    name: "acquireAsync waits for room, first come first served, and an AbortSignal ends the wait",
    async run(library) {
      using arena = smallArena(library, { onExhausted: "throw" }, 1);
      const all = fillUp(library, arena);
      const order: number[] = [];
      const controller = new AbortController();
      const first = arena.acquireAsync(PAGE_BYTES).then((lease) => {
        order.push(1);
        return lease;
      });
      const aborted = arena.acquireAsync(PAGE_BYTES, { signal: controller.signal });
      const second = arena.acquireAsync(PAGE_BYTES).then((lease) => {
        order.push(2);
        return lease;
      });
      checkEqual(arena.stats().waiting, 3, "waiting");
      const reason = new Error("given up on purpose");
      controller.abort(reason);
      checkEqual(await rejectionOf(aborted), reason, "the reason");
      for (const lease of all) lease.release();
      for (const lease of [await first, await second]) {
        check(isAll(lease.bytes, 0), "a lease is not zero");
        lease.release();
      }
      checkSame(order, [1, 2], "the order");
      arena.assertDrained();
      checkSound(arena);
    },
  },
];

const endings: readonly ContractCase[] = [
  ...MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: disposing the arena revokes every view, of live leases too`,
      run(library) {
        const arena = smallArena(library, { revoke });
        const lease = arena.acquire(1024);
        const live = lease.bytes;
        const old = arena.acquire(1024);
        const stale = old.bytes;
        old.release();
        arena[Symbol.dispose]();
        arena[Symbol.dispose]();
        checkDead(live, "a live view");
        checkDead(stale, "a stale view");
        lease[Symbol.dispose]();
        checkEqual(arena.stats().reservedBytes, 0, "reservedBytes");
      },
    }),
  ),
  ...REVOKING_MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: trim kills the stale views of what it lets go of`,
      run(library) {
        using arena = smallArena(library, { revoke });
        const lease = arena.acquire(1024);
        const stale = lease.bytes;
        lease.release();
        const { reservedBytes } = arena.stats();
        checkEqual(arena.trim(), reservedBytes, "bytes trimmed");
        checkEqual(arena.stats().reservedBytes, 0, "reservedBytes");
        check(stale.length === 0 || isAll(stale, 0), "the stale view sees something");
      },
    }),
  ),
  {
    name: "assertDrained names who acquired a traced lease",
    run(library) {
      using arena = smallArena(library, { trace: "all" });
      function forgetsToRelease(): Lease {
        const acquired = arena.acquire(77);
        // A tail call, which Bun would make of it without this, leaves no frame.
        acquired.bytes[0] = 1;
        return acquired;
      }
      const lease = forgetsToRelease();
      let message = "";
      try {
        arena.assertDrained();
      } catch (error) {
        message = (error as Error).message;
      }
      const [, first] = message.split("77 bytes, acquired\n");
      check(first !== undefined, `no site in: ${message}`);
      check(/^.*forgetsToRelease/.test(first), `the first frame is not the caller's: ${message}`);
      lease.release();
      arena.assertDrained();
    },
  },
  {
    name: "tracing reports a write after release as dirty, and nobody gets it",
    async run(library) {
      using arena = smallArena(library, { trace: "all" }, 1);
      const offsets: number[] = [];
      arena.addEventListener("dirty", ({ byteOffset }) => offsets.push(byteOffset));
      const lease = arena.acquire(256);
      const stale = lease.bytes;
      const written = lease.byteOffset + 10;
      lease.release();
      stale[10] = 1;
      for (let each = 0; each < 2000; each++) {
        const next = arena.acquire(256);
        check(isAll(next.bytes, 0), "the write reached a lease");
        next.release();
      }
      await new Promise<void>((resolve) => setTimeout(resolve));
      checkSame(offsets, [written], "the offsets reported");
      checkEqual(arena.stats().dirtyBlocks, 1, "dirtyBlocks");
    },
  },
];

export const modes: readonly ContractCase[] = [...staleViews, ...doors, ...ways, ...endings];
