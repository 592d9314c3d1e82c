/**
 * The stack of whoever called into the library, on every engine. Knows nothing
 * of what it is kept for.
 */

/** Frames that the library itself may add to a stack. */
const OWN_FRAMES = 12;

/** Where a frame of any engine says that it lies: everything before `:line:column`. */
const FRAME_LOCATION = /^\s*at (?:.*? \((.*):\d+:\d+\)|(?:async )?(.*):\d+:\d+)$|@(.*):\d+:\d+$/;

/** Stacks seen, each kept once: one call site may be watched in thousands of leases. */
const known = new Map<string, string>();
const KNOWN_AT_MOST = 1000;

/**
 * The stack without the library's own frames, wherever in it they are. Read at once,
 * because an unread stack keeps its callers' objects, and so the lease, alive. Own
 * frames are known by lying where this file does, or below; bundled into the
 * caller's file they cannot be told apart, and stay.
 */
export function callerFrames(): string {
  const stack: unknown = readStack(); // Error.prepareStackTrace may make it anything
  if (typeof stack !== "string") return "";
  const kept = known.get(stack);
  if (kept !== undefined) return kept;
  const frames = stack.split("\n").filter((line) => FRAME_LOCATION.test(line));
  const own = folderOf(frames[0] ?? "");
  const foreign = frames.filter((frame) => !folderOf(frame).startsWith(own));
  const callers = (foreign.length > 0 ? foreign : frames).join("\n");
  if (known.size >= KNOWN_AT_MOST) known.clear();
  known.set(stack, callers);
  return callers;
}

function readStack(): string {
  const limits = Error as { stackTraceLimit?: number };
  const { stackTraceLimit } = limits;
  try {
    if (stackTraceLimit !== undefined) limits.stackTraceLimit = stackTraceLimit + OWN_FRAMES;
    return new Error().stack ?? "";
  } catch {
    return new Error().stack ?? ""; // frozen intrinsics: as deep as they let us
  } finally {
    if (stackTraceLimit !== undefined && limits.stackTraceLimit !== stackTraceLimit) {
      limits.stackTraceLimit = stackTraceLimit;
    }
  }
}

function folderOf(frame: string): string {
  const [, inParentheses, bare, behindAt] = FRAME_LOCATION.exec(frame) ?? [];
  return (inParentheses ?? bare ?? behindAt ?? "").replace(/[^/\\]*$/, "");
}
