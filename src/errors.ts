/**
 * Every error the library throws, and its words. Imports nothing of ours: what a
 * message needs is passed in.
 */

/** Stable codes: safe to compare, across versions and across two copies of the package. */
export type ArenaErrorCode =
  | "ERR_INVALID_ARGUMENT"
  | "ERR_LEASE_RELEASED"
  | "ERR_LEASE_DETACHED"
  | "ERR_LEASE_PINNED"
  | "ERR_LEASES_OUTSTANDING"
  | "ERR_LIMIT_EXCEEDED"
  | "ERR_LENGTH_MISMATCH"
  | "ERR_OUT_OF_BOUNDS"
  | "ERR_ARENA_EXHAUSTED"
  | "ERR_ARENA_DISPOSED"
  | "ERR_WASM_UNAVAILABLE"
  // Of cleanslab/shared
  | "ERR_SHARED_MEMORY_UNAVAILABLE"
  | "ERR_TOKEN_USED"
  | "ERR_PORT_OPENED"
  | "ERR_PORT_CLOSED"
  | "ERR_PEER_ENDED"
  | "ERR_THREAD_ENDED"
  | "ERR_CANNOT_BLOCK";

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

const { captureStackTrace } = Error as { captureStackTrace?: (error: object, entry?: object) => void };

/** `error`, whose stack begins at the caller of `entry`, a function that runs now: on engines that can do that. */
export function calledFrom(error: ArenaError, entry: object | undefined): ArenaError {
  captureStackTrace?.(error, entry);
  return error;
}

export function invalidArgument(what: string, value: unknown, wanted: string): ArenaError {
  return new ArenaError("ERR_INVALID_ARGUMENT", `${what} is ${show(value)}; pass ${wanted}`);
}

/** Ends a message that names other stacks: the error's own follows it. */
const OWN_STACK = "thrown at:";

/**
 * @param history where the lease was acquired and released, if that is traced.
 * @param isSent handed over, or sent through a channel.
 */
export function leaseReleased(action: string, byteLength: number, history = "", isSent = false): ArenaError {
  const hint = history ? `${history}\n${OWN_STACK}` : "; an Arena with trace: 'all' tells where";
  const end = isSent ? "handed over or sent; acquire" : "already released; release once, and acquire";
  return new ArenaError(
    "ERR_LEASE_RELEASED",
    `cannot ${action}: this lease of ${byteLength} bytes was ${end} a new one to go on${isSent ? "" : hint}`,
  );
}

export function leaseDetached(action: string, byteLength: number): ArenaError {
  return new ArenaError(
    "ERR_LEASE_DETACHED",
    `cannot ${action}: other code revoked or transferred the memory under this lease of ${byteLength} bytes; ` +
      "release the lease, and do not grow lease.memory",
  );
}

export function leasePinned(action: string): ArenaError {
  return new ArenaError(
    "ERR_LEASE_PINNED",
    `cannot ${action}: a pin holds this lease in place; release the pin first, or leave the lease as it is`,
  );
}

export function arenaExhausted(byteLength: number, reservedBytes: number, maxBytes: number): ArenaError {
  return new ArenaError(
    "ERR_ARENA_EXHAUSTED",
    `no room for ${byteLength} bytes: ${reservedBytes} of maxBytes = ${maxBytes} are reserved; ` +
      "release leases, raise maxBytes, use acquireAsync, or set onExhausted to 'allocate'",
  );
}

export function bookRefused(): ArenaError {
  return new ArenaError(
    "ERR_ARENA_EXHAUSTED",
    "the engine has no memory left for another arena; dispose of arenas that are not used, or share one",
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

/**
 * @param pinned leases among them that were released, and whose blocks pins keep.
 * @param leaked leases, not among them, that were collected without a release.
 * @param sites one paragraph for each traced call site that holds leases, or lost them.
 */
export function leasesOutstanding(
  leases: number,
  byteLength: number,
  pinned: number,
  leaked: number,
  sites: readonly string[],
  isTraced: boolean,
): ArenaError {
  const what = pinned < leases ? "not released" : "released but still pinned";
  const some = pinned > 0 && pinned < leases ? `, ${pinned} of them released but still pinned` : "";
  const how = pinned < leases ? "" : "; release each pin, and await what releaseAfter returns";
  const out = leases > 0 ? [`${what}: ${countOf(leases)} of ${byteLength} bytes in all${some}${how}`] : [];
  if (leaked > 0) out.push(`leaked, and collected as garbage: ${countOf(leaked)}`);
  const advice = isTraced ? [] : ["set trace: 'all' to see where each was acquired"];
  const ownStack = sites.length > 0 ? [OWN_STACK] : [];
  return new ArenaError("ERR_LEASES_OUTSTANDING", [...out, ...sites, ...advice, ...ownStack].join("\n"));
}

export function arenaDisposed(action: string): ArenaError {
  return new ArenaError("ERR_ARENA_DISPOSED", `cannot ${action}: the arena was disposed; create a new one`);
}

export function wasmUnavailable(cause: unknown): ArenaError {
  return new ArenaError(
    "ERR_WASM_UNAVAILABLE",
    "WebAssembly cannot be used here: in a page allow 'wasm-unsafe-eval' in the Content-Security-Policy, in Node run " +
      "without --jitless; where compiling at run time is forbidden, compile cleanslab/arena.wasm at build time and " +
      "pass new Arena({ module })",
    { cause },
  );
}

export function sharedMemoryUnavailable(): ArenaError {
  return new ArenaError(
    "ERR_SHARED_MEMORY_UNAVAILABLE",
    "there is no SharedArrayBuffer here: serve the page, and the scripts of its workers, with the headers " +
      "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, over HTTPS or localhost; " +
      "crossOriginIsolated is true then",
  );
}

export function sharedExhausted(byteLength: number, maxBytes: number): ArenaError {
  return new ArenaError(
    "ERR_ARENA_EXHAUSTED",
    `no room for ${byteLength} bytes under maxBytes = ${maxBytes}: leases, tokens and what threads keep of released ` +
      "blocks take it up; release leases, raise maxBytes, or use acquireAsync",
  );
}

export function tooManyThreads(most: number): ArenaError {
  return new ArenaError(
    "ERR_LIMIT_EXCEEDED",
    `${most} threads are attached to this arena, the most there can be; detach() arenas that are not used, ` +
      "or tell the arena of threads that ended: threadEnded(id)",
  );
}

export function threadEnded(action: string): ArenaError {
  return new ArenaError(
    "ERR_THREAD_ENDED",
    `cannot ${action}: this thread was declared dead, and what it held was given away; ` +
      "call threadEnded(id) only for threads that run no more, then attach again",
  );
}

export function tokenUsed(token: number): ArenaError {
  return new ArenaError(
    "ERR_TOKEN_USED",
    `token ${token} was adopted already, or its sender ended and the room was needed; a token is good for one adopt`,
  );
}

export function portOpened(): ArenaError {
  return new ArenaError(
    "ERR_PORT_OPENED",
    "this port was opened already, here or in another thread; each end has one owner: make a channel for each pair",
  );
}

export function portClosed(action: string): ArenaError {
  return new ArenaError(
    "ERR_PORT_CLOSED",
    `cannot ${action}: the channel was closed; the lease is still yours. Make another channel`,
  );
}

/** @param lost messages that the dead thread had sent and that cannot be received any more. */
export function peerEnded(action: string, lost: number): ArenaError {
  return new ArenaError(
    "ERR_PEER_ENDED",
    `cannot ${action}: the thread at the other end of the channel has ended${lost > 0 ? `, and ${lost} of its messages were lost` : ""}; ` +
      "port.peerEnded() gives back what it had not received",
  );
}

export function cannotBlock(cause: unknown): ArenaError {
  return new ArenaError(
    "ERR_CANNOT_BLOCK",
    "receiveSync cannot block this thread, a page's main thread; use receive() or for await",
    { cause },
  );
}

/** Throws what was caught: the one error, or all of them in an `AggregateError`. */
export function throwAll(errors: readonly unknown[], message: string): void {
  if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors, message);
}

export function countOf(leases: number): string {
  return leases === 1 ? "1 lease" : `${leases} leases`;
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  try {
    const tag = Object.prototype.toString.call(value);
    const { name } = Object(value.constructor) as { name?: unknown };
    return tag === "[object Object]" && typeof name === "string" && !["", "Object"].includes(name)
      ? `of class ${name}`
      : tag;
  } catch {
    // A revoked proxy, or a tag that throws.
    return "an object";
  }
}
