/**
 * The stack of the code that called into the library, on every engine. Must not know
 * what it is kept for.
 *
 * Taking a stack and reading it are two steps: V8 takes the frames in about a microsecond,
 * and spends several on their text. A stack that was not read keeps its callers' objects
 * alive, perhaps the lease itself: whoever keeps stacks reads them in the end.
 */

/** A stack that was taken, or its text. */
export type Stack = Error | string;

/** Few, for their cost: some eight are the library's own, the others the caller's. */
const FRAMES = 16;

/** A line of a stack: function, location, line and column, as V8 writes it, or as the others do. */
const V8_FRAME = /^\s*at (?:async )?(?:(.*?) \((?=.*\)$))?(.*?):(\d+):(\d+)\)?$/;
const OTHER_FRAME = /^(.*?)@(.*):(\d+):(\d+)$/;

// Compiled now: V8 ends the process if it has to compile one near the end of the stack.
for (let each = 0; each < 3; each++) frameOf("    at name (file:1:2)");

/** Stacks read, each kept once: one call site may be watched in thousands of leases. */
const known = new Map<string, string>();
const KNOWN_AT_MOST = 1000;

const limits = Error as { stackTraceLimit?: number };

/** The stack of the caller, not read yet. Runs none of the caller's code. */
export function takeStack(): Stack {
  let before: number | undefined;
  try {
    before = limits.stackTraceLimit;
    if (before !== undefined) setLimit(FRAMES);
    return new Error();
  } catch {
    return "";
  } finally {
    if (before !== undefined) setLimit(before);
  }
}

/**
 * The text of a stack, without the library's own frames, wherever in it they are. Own
 * frames are those from the library's folder; bundled into the caller's file they
 * cannot be told apart, and stay. Runs the caller's `Error.prepareStackTrace`: what it
 * throws makes an empty stack.
 */
export function textOf(taken: Stack): string {
  if (typeof taken === "string") return taken;
  let stack: unknown; // Error.prepareStackTrace may make it anything
  try {
    stack = taken.stack;
  } catch {
    // Said above.
  }
  if (typeof stack !== "string") return "";
  const kept = known.get(stack);
  if (kept !== undefined) return kept;
  const frames = stack.split("\n").filter((line) => frameOf(line) !== undefined);
  const own = folderOf(frames[0] ?? "").replace(/watch[/\\]$/, "");
  const foreign = frames.filter((frame) => !folderOf(frame).startsWith(own));
  const callers = (foreign.length > 0 ? foreign : frames).join("\n");
  if (known.size >= KNOWN_AT_MOST) known.clear();
  known.set(stack, callers);
  return callers;
}

/** Not under `--frozen-intrinsics`: then stacks are as deep as they are. */
function setLimit(limit: number): void {
  try {
    limits.stackTraceLimit = limit;
  } catch {
    // Frozen.
  }
}

/** A line of a stack. Lines and columns count from 1. */
export interface Frame {
  readonly name: string;
  readonly url: string;
  readonly line: number;
  readonly column: number;
}

/** What a line of a stack says, on any engine; `undefined` if it is no frame. */
export function frameOf(line: string): Frame | undefined {
  const found = V8_FRAME.exec(line) ?? OTHER_FRAME.exec(line);
  if (found === null) return undefined;
  const [, name = "", url = "", at, column] = found;
  return { name, url, line: Number(at), column: Number(column) };
}

function folderOf(frame: string): string {
  return frameOf(frame)?.url.replace(/[^/\\]*$/, "") ?? "";
}
