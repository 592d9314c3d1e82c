/**
 * The stack of the code that called into the library, on every engine. Must not know
 * what it is kept for.
 */

/** Frames that the library itself may add to a stack. */
const OWN_FRAMES = 12;

/** Where a frame of any engine says that it lies: everything before `:line:column`. */
const FRAME_LOCATION = /^\s*at (?:.*? \((.*):\d+:\d+\)|(?:async )?(.*):\d+:\d+)$|@(.*):\d+:\d+$/;

// Compiled now: V8 ends the process if it has to compile one near the end of the stack.
for (let each = 0; each < 3; each++) FRAME_LOCATION.exec("    at name (file:1:2)");

/** Stacks seen, each kept once: one call site may be watched in thousands of leases. */
const known = new Map<string, string>();
const KNOWN_AT_MOST = 1000;

/**
 * The stack without the library's own frames, wherever in it they are. Read at once,
 * because an unread stack keeps its callers' objects, and so the lease, alive. Own
 * frames are those from the library's folder; bundled into the caller's file they
 * cannot be told apart, and stay. `Error.prepareStackTrace` is the caller's code: what
 * it throws makes an empty stack.
 */
export function callerFrames(): string {
  const stack: unknown = readStack(); // Error.prepareStackTrace may make it anything
  if (typeof stack !== "string") return "";
  const kept = known.get(stack);
  if (kept !== undefined) return kept;
  const frames = stack.split("\n").filter((line) => FRAME_LOCATION.test(line));
  const own = folderOf(frames[0] ?? "").replace(/watch[/\\]$/, "");
  const foreign = frames.filter((frame) => !folderOf(frame).startsWith(own));
  const callers = (foreign.length > 0 ? foreign : frames).join("\n");
  if (known.size >= KNOWN_AT_MOST) known.clear();
  known.set(stack, callers);
  return callers;
}

function readStack(): string {
  const limits = Error as { stackTraceLimit?: number };
  let stackTraceLimit: number | undefined;
  try {
    stackTraceLimit = limits.stackTraceLimit;
    if (stackTraceLimit !== undefined) setLimit(limits, stackTraceLimit + OWN_FRAMES);
    return new Error().stack ?? "";
  } catch {
    return "";
  } finally {
    if (stackTraceLimit !== undefined) setLimit(limits, stackTraceLimit);
  }
}

/** Not under `--frozen-intrinsics`: then stacks are as deep as they are. */
function setLimit(limits: { stackTraceLimit?: number }, limit: number): void {
  if (limits.stackTraceLimit === limit) return;
  try {
    limits.stackTraceLimit = limit;
  } catch {
    // Frozen.
  }
}

function folderOf(frame: string): string {
  const [, inParentheses, bare, behindAt] = FRAME_LOCATION.exec(frame) ?? [];
  return (inParentheses ?? bare ?? behindAt ?? "").replace(/[^/\\]*$/, "");
}
