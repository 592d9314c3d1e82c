/**
 * What the tests share: arenas small enough to fill, the check that a misuse left an
 * arena as it was, and waiting without clocks.
 */

import {
  Arena,
  ArenaError,
  type ArenaErrorCode,
  type ArenaOptions,
  type Lease,
  type LinearMemory,
  type RevokeMode,
} from "cleanslab";
import { expect } from "vitest";

export const MODES: readonly RevokeMode[] = ["before-reuse", "on-release", "never"];
/** The modes in which a stale view dies before its bytes are anyone else's. */
export const REVOKING_MODES: readonly RevokeMode[] = ["before-reuse", "on-release"];
/** The modes that serve leases out of segments. */
export const SEGMENT_MODES: readonly RevokeMode[] = ["before-reuse", "never"];

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const PAGE_BYTES = 64 * KiB;
/** The shortest segment there is: 64 slabs of 4 KiB. The first slab is the trap. */
export const SEGMENT_BYTES = 262144;
/** The longest lease that shares such a segment with others. A longer one has a memory of its own. */
export const LONGEST_SHORT_BYTES = SEGMENT_BYTES / 4;

/** An arena of the shortest segments, with room for `segments` of them: for 4 times as many leases in `"on-release"`. */
export function smallArena(options: ArenaOptions = {}, segments = 4): Arena {
  return new Arena({
    segmentBytes: SEGMENT_BYTES,
    maxBytes: segments * SEGMENT_BYTES,
    trace: "off",
    ...options,
  });
}

/** The ways to a lease of a given length, without those that wait. */
export const WAYS: Record<string, (arena: Arena, byteLength: number) => Lease> = {
  acquire: (arena, byteLength) => arena.acquire(byteLength),
  pool: (arena, byteLength) => arena.pool(byteLength).acquire(),
  scope: (arena, byteLength) => arena.scope().acquire(byteLength),
  copyOf: (arena, byteLength) => arena.copyOf(new Uint8Array(byteLength)),
  acquireFilled: (arena, byteLength) => arena.acquireFilled(byteLength, (bytes) => bytes.fill(0).length),
  filler: (arena, byteLength) => {
    const filler = arena.filler(byteLength);
    filler.put(new Uint8Array(byteLength));
    return filler.take();
  },
};

/** Leases of `byteLength` bytes until there is no room left; the arena's policy is `"throw"`. */
export function exhaust(arena: Arena, byteLength: number): Lease[] {
  const leases: Lease[] = [];
  for (;;) {
    try {
      leases.push(arena.acquire(byteLength));
    } catch (error) {
      if (error instanceof ArenaError && error.code === "ERR_ARENA_EXHAUSTED") return leases;
      throw error;
    }
  }
}

export function releaseAll(leases: Iterable<Lease>): void {
  for (const lease of leases) lease.release();
}

/** What `fn` throws. */
export function thrownBy(fn: () => unknown): unknown {
  try {
    fn();
  } catch (error) {
    return error;
  }
  throw new Error("expected an error, and nothing was thrown");
}

/** What `promise` rejects with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    () => ({ rejected: false, reason: undefined }),
    (reason: unknown) => ({ rejected: true, reason }),
  );
  if (!outcome.rejected) throw new Error("expected a rejection, and the promise was fulfilled");
  return outcome.reason;
}

/** `error` is the library's, has `code`, and its message contains every one of `fragments`. */
export function expectArenaError(error: unknown, code: ArenaErrorCode, ...fragments: (string | number)[]): void {
  if (!(error instanceof ArenaError)) throw new Error(`expected an ArenaError, got ${String(error)}`, { cause: error });
  expect(error.code).toBe(code);
  expect(error.name).toBe("ArenaError");
  for (const fragment of fragments) expect(error.message).toContain(String(fragment));
}

/** `fn` throws an ArenaError with `code`, whose message contains every one of `fragments`. */
export function expectThrow(fn: () => unknown, code: ArenaErrorCode, ...fragments: (string | number)[]): void {
  expectArenaError(thrownBy(fn), code, ...fragments);
}

/** A lease of this length can be acquired, is zero, and can be given back, in every way. */
export function expectUsable(arena: Arena, byteLength = 100): void {
  const { liveLeases, liveBytes } = arena.stats();
  for (const [name, way] of Object.entries(WAYS)) {
    for (let round = 0; round < 2; round++) {
      const lease = way(arena, byteLength);
      expect(lease.byteLength, name).toBe(byteLength);
      expect(isZero(lease.bytes), `zero from ${name}`).toBe(true);
      lease.bytes.fill(0xee);
      lease.release();
    }
  }
  expect(arena.stats()).toMatchObject({ liveLeases, liveBytes });
  expectSound(arena);
}

/** Every invariant holds. */
export function expectSound(arena: Arena): void {
  expect(arena.audit()).toMatchObject({ ok: true, problems: [] });
  const { reservedBytes, maxBytes } = arena.stats();
  expect(reservedBytes).toBeLessThanOrEqual(maxBytes);
}

/** `misuse` leaves no trace in the counters, breaks no invariant, and the arena works on. */
export function expectUnharmed(arena: Arena, misuse: () => void): void {
  const before = arena.stats();
  misuse();
  expect(arena.stats()).toEqual(before);
  expectSound(arena);
  expectUsable(arena);
}

export async function expectUnharmedAsync(arena: Arena, misuse: () => Promise<void>): Promise<void> {
  const before = arena.stats();
  await misuse();
  expect(arena.stats()).toEqual(before);
  expectSound(arena);
  expectUsable(arena);
}

/** The very bytes of `model`; if not, no screenful of them. */
export function expectBytes(bytes: Uint8Array, model: Uint8Array): void {
  expect(Buffer.compare(bytes, model), `${bytes.length} bytes, and ${model.length} in the model`).toBe(0);
}

export function isZero(bytes: Uint8Array): boolean {
  return isAll(bytes, 0);
}

/** @throws TypeError for a detached view, of which nothing can be said. */
export function isAll(bytes: Uint8Array, value: number): boolean {
  const whole = bytes.subarray();
  return Buffer.compare(whole, new Uint8Array(whole.length).fill(value)) === 0;
}

/** Where a lease lies. A lease itself is one while it is held; `placeOf` is for later. */
export interface Place {
  readonly memory: LinearMemory | undefined;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** Where `lease` lies, for a look at its bytes after its release. */
export function placeOf({ memory, byteOffset, byteLength }: Lease): Place {
  return { memory, byteOffset, byteLength };
}

/** All of a lease's memory as it is now, whatever became of the views of it. */
export function memoryNow({ memory }: Place): Uint8Array<ArrayBuffer> {
  if (memory === undefined) throw new Error("a heap lease has no memory");
  return new Uint8Array(memory.buffer);
}

/** The leased bytes as they are now, read past every check. */
export function bytesNow(place: Place): Uint8Array<ArrayBuffer> {
  return memoryNow(place).subarray(place.byteOffset, place.byteOffset + place.byteLength);
}

/** Detaches every view of the memory under `place`, as anyone can who holds or held `lease.memory`. */
export function growUnder({ memory }: Pick<Place, "memory">, deltaPages: number): void {
  // It is a WebAssembly.Memory; the library's type shows less of it.
  (memory as unknown as { grow(deltaPages: number): number }).grow(deltaPages);
}

/** A value of the wrong type, where the types would not let it through. */
export function wrong<T>(value: unknown): T {
  return value as T;
}

/** All that is due now has run, promises and their reactions included. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Whether `promise` is fulfilled or rejected once all that is due has run. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const mark = (): void => {
    settled = true;
  };
  promise.then(mark, mark);
  await settle();
  return settled;
}

/** What `promise` settles to, which it must do without anything more happening. */
export async function promptly<T>(promise: Promise<T>): Promise<T> {
  if (!(await isSettled(promise))) throw new Error("the promise still waits");
  return promise;
}

/** Collects garbage until `done`, or until `rounds` collections did not help. */
export async function collectGarbageUntil(done: () => boolean, rounds = 200): Promise<void> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error("run with --expose-gc");
  for (let round = 0; round < rounds && !done(); round++) {
    gc();
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
  }
}

/** Whole numbers below a bound, the same ones for the same seed. */
export function seeded(seed: number): (below: number) => number {
  let state = seed % 2147483647 || 1;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
}

/** The leases that a test holds, each filled with a mark of its own: overlapping leases lose their marks. */
export class LiveLeases {
  readonly marks = new Map<Lease, number>();
  #next = 0;

  /** Takes leases just handed out, which are zero. */
  add(...leases: Lease[]): void {
    for (const lease of leases) {
      if (!isZero(lease.bytes)) throw new Error(`a lease of ${lease.byteLength} bytes was not zero when handed out`);
      this.mark(lease);
    }
  }

  mark(lease: Lease): void {
    this.#next = (this.#next % 251) + 1;
    lease.bytes.fill(this.#next);
    this.marks.set(lease, this.#next);
  }

  /** Every lease, or this one, has its mark. */
  check(leases: Iterable<Lease> = this.marks.keys()): void {
    for (const lease of leases) {
      const { bytes, byteLength, byteOffset } = lease;
      const isWhole = bytes.length === byteLength && isAll(bytes, this.marks.get(lease) ?? 0);
      if (!isWhole) throw new Error(`a lease of ${byteLength} bytes at ${byteOffset} lost its bytes`);
    }
  }

  release(...leases: Lease[]): void {
    this.check(leases);
    for (const lease of leases) {
      this.marks.delete(lease);
      lease.release();
    }
  }

  releaseAll(): void {
    this.release(...this.marks.keys());
  }
}

const iterators = [[], new Map(), new Set()].map(
  (each) => Object.getPrototypeOf(each[Symbol.iterator]()) as { next(): unknown },
);

/** Elements of arrays, maps and sets that are gone through while `fn` runs: work, without a clock. */
export async function countSteps(fn: () => unknown): Promise<number> {
  let steps = 0;
  const originals = iterators.map((prototype) => prototype.next);
  iterators.forEach((prototype, each) => {
    const next = originals[each] as () => unknown;
    prototype.next = function (this: unknown) {
      steps++;
      return next.call(this);
    };
  });
  try {
    await fn();
  } finally {
    iterators.forEach((prototype, each) => {
      prototype.next = originals[each] as () => unknown;
    });
  }
  return steps;
}

/** LEB128, as its definition says it. */
export function leb128(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push(Number(rest % 128n) + (rest >= 128n ? 128 : 0));
    rest /= 128n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** `Promise.withResolvers`, which Node 20 does not have. */
export function deferred<T>(): Deferred<T> {
  let settlers: Omit<Deferred<T>, "promise"> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settlers = { resolve, reject };
  });
  if (settlers === undefined) throw new Error("a promise's executor runs at once");
  return { promise, ...settlers };
}
