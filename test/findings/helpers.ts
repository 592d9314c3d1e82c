/**
 * What these tests share: the book of live leases that a test keeps for itself, counting
 * work without a clock, and waiting for the collector.
 */

import { execFile } from "node:child_process";
import type { Arena, ArenaOptions, Lease, RevokeMode } from "cleanslab";

export const MODES: readonly RevokeMode[] = ["before-reuse", "on-release", "never"];
export const REVOKING_MODES: readonly RevokeMode[] = ["before-reuse", "on-release"];

export const KiB = 1024;
export const MiB = 1024 * KiB;

/** The shortest segment there is, in bytes. */
export const SEGMENT_BYTES = 256 * KiB;

/** How much to do: `CLEANSLAB_OPS` where it is set, else `byDefault`. */
export function ops(byDefault: number): number {
  const wanted = Number(process.env["CLEANSLAB_OPS"]);
  return wanted > 0 ? wanted : byDefault;
}

/** Which modes to run through: all, or the one in `CLEANSLAB_MODE`. */
export const CAMPAIGN_MODES = MODES.filter((mode) => (process.env["CLEANSLAB_MODE"] ?? mode) === mode);

/** Whole numbers below `n`, the same ones for the same seed. */
export function seeded(seed: number): (n: number) => number {
  let state = seed % 2147483647 || 1;
  return (n) => {
    state = (state * 48271) % 2147483647;
    return state % n;
  };
}

export function collectGarbage(): void {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("run with --expose-gc");
  gc();
}

/** Lets the collector work, and its callbacks be called, until `isDone` or for long enough. */
export async function settle(isDone: () => boolean = () => false, rounds = 60): Promise<void> {
  for (let round = 0; round < rounds && !isDone(); round++) {
    // What `isDone` looked at through a WeakRef is kept until its job is over.
    await turn();
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Lets microtasks run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export function codeOf(error: unknown): string | undefined {
  return (error as { code?: string } | null | undefined)?.code;
}

/** The code of what `fn` throws; "no error" if nothing. */
export function thrownCode(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
  return "no error";
}

/** The code of what `promise` rejects with; "no error" if it does not. */
export async function rejectedCode(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
  return "no error";
}

/** Leases until the cap is reached, of an arena whose policy is `"throw"`. */
export function fillUp(arena: Arena, byteLength: number): Lease[] {
  const leases: Lease[] = [];
  while (leases.length < 1_000_000) {
    try {
      leases.push(arena.acquire(byteLength));
    } catch (error) {
      if (codeOf(error) === "ERR_ARENA_EXHAUSTED") return leases;
      throw error;
    }
  }
  throw new Error("the cap was never reached");
}

/** Options of an arena of the shortest segments. */
export function small(segments: number, options: ArenaOptions = {}): ArenaOptions {
  return { segmentBytes: SEGMENT_BYTES, maxBytes: segments * SEGMENT_BYTES, trace: "off", ...options };
}

export function isZero(bytes: Uint8Array): boolean {
  return isMarked(bytes, 0);
}

/** Whether every byte is `mark`. */
export function isMarked(bytes: Uint8Array, mark: number): boolean {
  return bytes.length === 0 || (bytes[0] === mark && Buffer.compare(bytes.subarray(1), bytes.subarray(0, -1)) === 0);
}

/**
 * The leases that a test holds. Each is marked whole with a byte of its own: overlapping
 * leases lose their marks, or lie over each other in one memory.
 */
export class LiveLeases {
  readonly marks = new Map<Lease, number>();
  readonly problems: string[] = [];
  #next = 0;

  get size(): number {
    return this.marks.size;
  }

  /** Takes a lease just handed out. */
  add(lease: Lease): Lease {
    if (!isZero(lease.bytes)) this.problems.push(`a lease of ${lease.byteLength} bytes was not zero when handed out`);
    this.mark(lease);
    return lease;
  }

  mark(lease: Lease): void {
    this.#next = (this.#next % 251) + 1;
    const mark = this.#next;
    lease.bytes.fill(mark);
    this.marks.set(lease, mark);
  }

  /** Of a lease that is still held. */
  check(lease: Lease): void {
    const mark = this.marks.get(lease) ?? 0;
    try {
      const { bytes } = lease;
      if (!isMarked(bytes, mark)) this.problems.push(`a live lease of ${bytes.length} bytes lost its bytes`);
    } catch (error) {
      this.problems.push(`a live lease cannot be read: ${codeOf(error) ?? error}`);
    }
  }

  /** Of all of them: their bytes, and that no two lie over each other. */
  checkAll(): void {
    const memories = new Map<object, Lease[]>();
    for (const lease of this.marks.keys()) {
      this.check(lease);
      if (lease.byteLength === 0) continue;
      const memory = lease.memory ?? lease.bytes.buffer;
      const leases = memories.get(memory);
      if (leases === undefined) memories.set(memory, [lease]);
      else leases.push(lease);
    }
    for (const leases of memories.values()) {
      leases.sort((a, b) => a.byteOffset - b.byteOffset);
      leases.reduce((before, lease) => {
        if (before.byteOffset + before.byteLength > lease.byteOffset) this.problems.push("two live leases overlap");
        return lease;
      });
    }
  }

  release(lease: Lease): void {
    this.check(lease);
    this.marks.delete(lease);
    lease.release();
  }

  releaseAll(): void {
    for (const lease of [...this.marks.keys()]) this.release(lease);
  }

  /** No longer watched: it was released elsewhere. */
  forget(lease: Lease): void {
    this.marks.delete(lease);
  }
}

const iterators = [[], new Map(), new Set()].map(
  (each) => Object.getPrototypeOf(each[Symbol.iterator]()) as { next(): unknown },
);

/** Counts how many elements of arrays, maps and sets are gone through until `end()`: work, without a clock. */
export class StepCounter {
  #steps = 0;
  readonly #originals = iterators.map((prototype) => prototype.next);

  constructor() {
    const count = (): void => void this.#steps++;
    iterators.forEach((prototype, each) => {
      const next = this.#originals[each] as () => unknown;
      prototype.next = function (this: unknown) {
        count();
        return next.call(this);
      };
    });
  }

  end(): number {
    iterators.forEach((prototype, each) => {
      prototype.next = this.#originals[each] as () => unknown;
    });
    return this.#steps;
  }
}

export function countSteps(fn: () => void): number {
  const counter = new StepCounter();
  try {
    fn();
  } finally {
    counter.end();
  }
  return counter.end();
}

export interface ChildResult {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs `source` as a module in a process of its own, with the built package. */
export function inChild(source: string, flags: readonly string[] = []): Promise<ChildResult> {
  const args = [...flags, "--input-type=module", "--eval", source];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: 60_000, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : null;
      resolve({ code, output: stdout, errors: stderr });
    });
  });
}
