/** The queue of those who wait for room. Aborts and fairness through an arena are test/misuse/waiting.test.ts's. */

import { beforeEach, describe, expect, test } from "vitest";
import type { Lease } from "../../src/lease.ts";
import { Waiters } from "../../src/waiters.ts";
import { FakeOwner, isSettled, promptly, rejectionOf } from "../helpers.ts";

describe("waiters", () => {
  const owner = new FakeOwner();
  let counts: number[];
  let waiters: Waiters;

  beforeEach(() => {
    counts = [];
    waiters = new Waiters((waiting) => counts.push(waiting));
  });

  function wait(byteLength: number, signal: AbortSignal | undefined): Promise<Lease> {
    return waiters.wait({ byteLength, callSite: `asked for ${byteLength}` }, signal);
  }

  /** Serves from a room of `roomBytes`; says what it was asked for. */
  function serve(roomBytes: number): { asked: number[]; leases: Lease[] } {
    const asked: number[] = [];
    const leases: Lease[] = [];
    let left = roomBytes;
    waiters.acquire = ({ byteLength, callSite }) => {
      expect(callSite).toBe(`asked for ${byteLength}`);
      asked.push(byteLength);
      if (byteLength > left) return null;
      left -= byteLength;
      const lease = owner.lease(byteLength);
      leases.push(lease);
      return lease;
    };
    waiters.serve();
    return { asked, leases };
  }

  test("are counted when they come and when they are served", async () => {
    expect(waiters.length).toBe(0);
    const first = wait(10, undefined);
    const second = wait(20, undefined);
    expect(waiters.length).toBe(2);
    expect(counts).toEqual([1, 2]);
    serve(100);
    expect(waiters.length).toBe(0);
    expect(counts).toEqual([1, 2, 1, 0]);
    expect((await promptly(first)).byteLength).toBe(10);
    expect((await promptly(second)).byteLength).toBe(20);
  });

  test("are served first come, first served, each with the lease made for it", async () => {
    const promises = [30, 10, 20].map((byteLength) => wait(byteLength, undefined));
    const { asked, leases } = serve(60);
    expect(asked).toEqual([30, 10, 20]);
    expect(await promptly(Promise.all(promises))).toEqual(leases);
  });

  test("all wait as long as the first of them does not fit, though others would", async () => {
    const long = wait(50, undefined);
    const short = wait(1, undefined);
    expect(serve(49).asked).toEqual([50]);
    expect(waiters.length).toBe(2);
    expect(await isSettled(Promise.race([long, short]))).toBe(false);
    expect(serve(50).asked).toEqual([50, 1]);
    expect(waiters.length).toBe(1);
    expect((await promptly(long)).byteLength).toBe(50);
    expect(await isSettled(short)).toBe(false);
    expect(serve(1).asked).toEqual([1]);
    expect((await promptly(short)).byteLength).toBe(1);
  });

  test("are not asked for when there are none", () => {
    expect(serve(100).asked).toEqual([]);
    expect(counts).toEqual([]);
  });

  test("leave with the signal's reason, and the others keep their order", async () => {
    const controller = new AbortController();
    const first = wait(10, undefined);
    const second = wait(20, controller.signal);
    const third = wait(30, undefined);
    const reason = new Error("enough");
    controller.abort(reason);
    expect(waiters.length).toBe(2);
    expect(counts).toEqual([1, 2, 3, 2]);
    expect(await rejectionOf(second)).toBe(reason);
    expect(serve(100).asked).toEqual([10, 30]);
    expect((await promptly(first)).byteLength).toBe(10);
    expect((await promptly(third)).byteLength).toBe(30);
  });

  test("that were served do not leave again when the signal is aborted", async () => {
    const controller = new AbortController();
    const promise = wait(10, controller.signal);
    const other = wait(10, undefined);
    serve(10);
    controller.abort();
    expect((await promptly(promise)).byteLength).toBe(10);
    expect(waiters.length).toBe(1);
    expect(counts).toEqual([1, 2, 1]);
    serve(10);
    await promptly(other);
  });

  test("that were held up by one who leaves are served, as far as there is room", async () => {
    const controller = new AbortController();
    const long = wait(50, controller.signal);
    const short = wait(10, undefined);
    const other = wait(40, undefined);
    expect(serve(30).asked).toEqual([50]);
    controller.abort("enough");
    expect(await rejectionOf(long)).toBe("enough");
    expect((await promptly(short)).byteLength).toBe(10);
    expect(await isSettled(other)).toBe(false);
    expect(waiters.length).toBe(1);
  });

  test("that share a signal leave together", async () => {
    const controller = new AbortController();
    const promises = [10, 20].map((byteLength) => wait(byteLength, controller.signal));
    controller.abort("both");
    expect(await Promise.all(promises.map((promise) => rejectionOf(promise)))).toEqual(["both", "both"]);
    expect(waiters.length).toBe(0);
  });

  test("are all rejected at once with the reason given", async () => {
    const promises = [10, 20, 30].map((byteLength) => wait(byteLength, undefined));
    const reason = new Error("closed");
    waiters.rejectAll(reason);
    expect(waiters.length).toBe(0);
    expect(counts.at(-1)).toBe(0);
    expect(await Promise.all(promises.map((promise) => rejectionOf(promise)))).toEqual([reason, reason, reason]);
    expect(serve(100).asked).toEqual([]);
  });

  test("that come while others are served are served in the same go", async () => {
    const first = wait(10, undefined);
    let late: Promise<Lease> | undefined;
    waiters.acquire = ({ byteLength }) => {
      late ??= wait(20, undefined);
      return owner.lease(byteLength);
    };
    waiters.serve();
    expect((await promptly(first)).byteLength).toBe(10);
    expect(late === undefined ? undefined : (await promptly(late)).byteLength).toBe(20);
  });
});
