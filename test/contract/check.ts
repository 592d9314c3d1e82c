/**
 * What contract cases say about the library: checks that throw, arenas small
 * enough to fill, and random numbers that can be repeated. ECMAScript only.
 */

import type { Arena, ArenaErrorCode, ArenaOptions, Lease, LinearMemory, RevokeMode } from "cleanslab";
import type { Environment, Library } from "./contract.ts";

/** Any entry point of the package. */
type HasErrors = Pick<Library, "ArenaError">;

export const MODES: readonly RevokeMode[] = ["before-reuse", "on-release", "never"];
/** The modes in which a stale view dies before its bytes are anyone else's. */
export const REVOKING_MODES: readonly RevokeMode[] = ["before-reuse", "on-release"];
/** The modes in which leases share a memory. */
export const SEGMENT_MODES: readonly RevokeMode[] = ["before-reuse", "never"];

export const PAGE_BYTES = 65536;
/** The shortest segment there is: 64 slabs, the first of which is the trap. */
export const SEGMENT_BYTES = 4 * PAGE_BYTES;

/** An arena of the shortest segments, with room for `segments` of them. */
export function smallArena({ Arena }: Library, options: ArenaOptions = {}, segments = 4): Arena {
  return new Arena({
    segmentBytes: SEGMENT_BYTES,
    maxBytes: segments * SEGMENT_BYTES,
    trace: "off",
    ...options,
  });
}

/** Takes every further lease of a page there is room for under the cap of an arena with `onExhausted: "throw"`. */
export function fillUp(library: Library, arena: Arena): Lease[] {
  const leases: Lease[] = [];
  for (;;) {
    try {
      leases.push(arena.acquire(PAGE_BYTES));
    } catch (error) {
      checkArenaError(library, error, "ERR_ARENA_EXHAUSTED");
      return leases;
    }
  }
}

export function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** Compares with `Object.is`. */
export function checkEqual<T>(actual: T, expected: NoInfer<T>, what: string): void {
  check(Object.is(actual, expected), `${what} is ${String(actual)}, expected ${String(expected)}`);
}

/** Compares plain data. */
export function checkSame<T>(actual: T, expected: NoInfer<T>, what: string): void {
  checkEqual(JSON.stringify(actual), JSON.stringify(expected), what);
}

/** `fn` throws an ArenaError with `code`, whose message contains every one of `fragments`. */
export function checkThrows(library: HasErrors, fn: () => unknown, code: ArenaErrorCode, ...fragments: string[]): void {
  let result: unknown;
  try {
    result = fn();
  } catch (error) {
    checkArenaError(library, error, code, ...fragments);
    return;
  }
  throw new Error(`expected ${code}, and nothing was thrown: got ${String(result)}`);
}

/** `error` is the library's, has `code`, and its message contains every one of `fragments`. */
export function checkArenaError(
  library: HasErrors,
  error: unknown,
  code: ArenaErrorCode,
  ...fragments: string[]
): void {
  check(error instanceof library.ArenaError, `expected an ArenaError, got ${String(error)}`);
  checkEqual(error.code, code, "code");
  checkEqual(error.name, "ArenaError", "name");
  for (const fragment of fragments) {
    check(error.message.includes(fragment), `"${fragment}" is not in the message: ${error.message}`);
  }
}

export async function checkRejects(
  library: HasErrors,
  promise: Promise<unknown>,
  code: ArenaErrorCode,
  ...fragments: string[]
): Promise<void> {
  checkArenaError(library, await rejectionOf(promise), code, ...fragments);
}

export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    () => undefined,
    (reason: unknown) => ({ reason }),
  );
  check(outcome !== undefined, "expected a rejection, and the promise was fulfilled");
  return outcome.reason;
}

/** All of an arena's invariants hold, and a misuse left its counters as they were. */
export function checkUnharmed(arena: Arena, misuse: () => void): void {
  const before = arena.stats();
  misuse();
  checkSame(arena.stats(), before, "stats after the misuse");
  checkSound(arena);
  checkUsable(arena);
}

export function checkSound(arena: Arena): void {
  checkSame(arena.audit().problems, [], "the audit");
  const { reservedBytes, maxBytes } = arena.stats();
  check(reservedBytes <= maxBytes, `${reservedBytes} bytes are reserved, above maxBytes = ${maxBytes}`);
}

/** A lease can be acquired, is zero, and can be given back. */
export function checkUsable(arena: Arena, byteLength = 100): void {
  for (let round = 0; round < 2; round++) {
    const lease = arena.acquire(byteLength);
    checkEqual(lease.bytes.length, byteLength, "the length of the lease");
    check(isAll(lease.bytes, 0), "a lease is not zero");
    lease.bytes.fill(0xee);
    lease.release();
  }
}

export function isAll(bytes: Uint8Array, value: number): boolean {
  // Not `every`: on Firefox's baseline tier it takes most of the suite's time.
  const { length } = bytes;
  for (let each = 0; each < length; each++) if (bytes[each] !== value) return false;
  return true;
}

/** Where a lease lies. A lease itself is one while it is held; `placeOf` is for later. */
export interface Place {
  readonly memory: LinearMemory | undefined;
  readonly byteOffset: number;
  readonly byteLength: number;
}

export function placeOf({ memory, byteOffset, byteLength }: Lease): Place {
  return { memory, byteOffset, byteLength };
}

/** The leased bytes as they are now in the arena's memory, whatever became of the views. */
export function bytesNow({ memory, byteOffset, byteLength }: Place): Uint8Array {
  check(memory !== undefined, "a heap lease has no memory");
  return new Uint8Array(memory.buffer, byteOffset, byteLength);
}

/** All that is due now has run: events, and the promises of those who wait. */
export async function turn(): Promise<void> {
  await new Promise<void>((resolve) => setTimeout(resolve));
}

/** Collects garbage until `done`; skips the case where the engine cannot be asked to. */
export async function collectUntil(environment: Environment, done: () => boolean): Promise<void> {
  const { collect } = environment;
  if (collect === undefined) environment.skip("no way to ask this engine for a garbage collection");
  for (let round = 0; round < 200 && !done(); round++) {
    await collect();
    await new Promise<void>((resolve) => setTimeout(resolve, 5));
  }
  check(done(), "200 collections did not find it");
}

/** A source of whole numbers below a bound, the same for the same seed (Marsaglia's xorshift32). */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
