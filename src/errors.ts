/**
 * Every error the library throws, and the words it uses. Knows no arena: what
 * a message needs is passed in.
 */

import type { TraceSite } from "./trace.js";

/** Stable codes: safe to compare, across versions and across two copies of the package. */
export type ArenaErrorCode =
  | "ERR_INVALID_ARGUMENT"
  | "ERR_LEASE_RELEASED"
  | "ERR_LEASES_OUTSTANDING"
  | "ERR_LIMIT_EXCEEDED"
  | "ERR_ARENA_EXHAUSTED"
  | "ERR_ARENA_DISPOSED"
  | "ERR_ARENA_CORRUPT"
  | "ERR_WASM_UNAVAILABLE";

/** Thrown for every misuse and every limit. Branch on `code`; the message is for people. */
export class ArenaError extends Error {
  readonly code: ArenaErrorCode;

  constructor(code: ArenaErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  override get name(): string {
    return "ArenaError";
  }
}

export function invalidArgument(what: string, value: unknown, wanted: string): ArenaError {
  return new ArenaError("ERR_INVALID_ARGUMENT", `${what} is ${show(value)}; pass ${wanted}`);
}

export function leaseReleased(action: string, byteLength: number, history = ""): ArenaError {
  return new ArenaError(
    "ERR_LEASE_RELEASED",
    `cannot ${action}: this lease of ${byteLength} bytes was already released; acquire a new one${history}`,
  );
}

export function arenaExhausted(byteLength: number, reservedBytes: number, maxBytes: number): ArenaError {
  return new ArenaError(
    "ERR_ARENA_EXHAUSTED",
    `no room for ${byteLength} bytes: ${reservedBytes} of maxBytes = ${maxBytes} are reserved; ` +
      "release leases, raise maxBytes, use acquireAsync, or set onExhausted to 'allocate'",
  );
}

export function heapExhausted(byteLength: number, maxBytes: number, cause: unknown): ArenaError {
  return new ArenaError(
    "ERR_ARENA_EXHAUSTED",
    `no room for ${byteLength} bytes under maxBytes = ${maxBytes}, and none on the heap`,
    { cause },
  );
}

export function nothingToWaitFor(byteLength: number, reservedBytes: number, maxBytes: number): ArenaError {
  return new ArenaError(
    "ERR_ARENA_EXHAUSTED",
    `no room for ${byteLength} bytes with ${reservedBytes} of maxBytes = ${maxBytes} reserved, and no lease is out ` +
      "whose release could make any: the engine refuses memory, or leaked leases hold it; use acquire, or free other memories",
  );
}

export function neverFits(byteLength: number, maxBytes: number): ArenaError {
  return new ArenaError(
    "ERR_ARENA_EXHAUSTED",
    `${byteLength} bytes can never fit under maxBytes = ${maxBytes}; raise maxBytes or ask for less`,
  );
}

/** @param sites where those of the leases that are traced were acquired. */
export function leasesOutstanding(
  leases: number,
  byteLength: number,
  sites: readonly TraceSite[],
  isTraced: boolean,
): ArenaError {
  const stacks = sites.map((site) => `\n${countOf(site.leases)} of ${site.byteLength} bytes, acquired\n${site.stack}`);
  const advice = isTraced ? "" : "; set trace: 'all' to see where they were acquired";
  return new ArenaError(
    "ERR_LEASES_OUTSTANDING",
    `not released: ${countOf(leases)} of ${byteLength} bytes in all${stacks.join("") || advice}`,
  );
}

export function arenaDisposed(action: string): ArenaError {
  return new ArenaError("ERR_ARENA_DISPOSED", `cannot ${action}: the arena was disposed; create a new one`);
}

export function arenaCorrupt(what: string): ArenaError {
  return new ArenaError(
    "ERR_ARENA_CORRUPT",
    `${what}; something wrote over the arena's bookkeeping through a view's .buffer`,
  );
}

export function wasmUnavailable(cause: unknown): ArenaError {
  return new ArenaError(
    "ERR_WASM_UNAVAILABLE",
    "WebAssembly cannot be used here; in a page allow 'wasm-unsafe-eval' in the Content-Security-Policy, " +
      "in Node run without --jitless",
    { cause },
  );
}

/** Throws what was caught on the way: the one error, or all of them in an `AggregateError`. */
export function throwAll(errors: readonly unknown[], message: string): void {
  if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors, message);
}

function countOf(leases: number): string {
  return leases === 1 ? "1 lease" : `${leases} leases`;
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return Object.prototype.toString.call(value);
  return String(value);
}
