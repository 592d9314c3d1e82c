/**
 * Every atomic access of the bindings to shared words, and every wait. Owns nothing else:
 * a test puts a file in its place that lets another thread run before each of them.
 */

const { load, store, compareExchange, or: atomicOr, add: atomicAdd, notify, wait, waitAsync } = Atomics;

export function read(words: Int32Array, at: number): number {
  return load(words, at);
}

export function write(words: Int32Array, at: number, value: number): void {
  store(words, at, value);
}

/** Changes the word if it is `from`. */
export function swap(words: Int32Array, at: number, from: number, to: number): boolean {
  return compareExchange(words, at, from, to) === from;
}

export function setBits(words: Int32Array, at: number, bits: number): void {
  atomicOr(words, at, bits);
}

/** What the word was before. */
export function add(words: Int32Array, at: number, value: number): number {
  return atomicAdd(words, at, value);
}

export function wake(words: Int32Array, at: number): void {
  notify(words, at);
}

/** Blocks this thread until it is woken, the word is not `value`, or the time is up. A `TypeError` where that is forbidden. */
export function block(words: Int32Array, at: number, value: number, ms: number): void {
  wait(words, at, value, ms);
}

/** How often engines without `waitAsync` look, in milliseconds. */
const POLL_MS = 2;

function pause(resolve: (value: unknown) => void): void {
  const timer = setTimeout(() => resolve(undefined), POLL_MS);
  (Object(timer) as { unref?(): void }).unref?.();
}

/** A promise for the next wake-up, or `undefined` if the word is not `value`. */
export function woken(words: Int32Array, at: number, value: number): PromiseLike<unknown> | undefined {
  if (waitAsync === undefined) {
    return load(words, at) === value ? new Promise(pause) : undefined;
  }
  const waiting = waitAsync(words, at, value);
  return waiting.async ? waiting.value : undefined;
}

let held = 0;
let timer: { ref?(): void; unref?(): void } | undefined;

/** While this waits, the process stays: a pending `waitAsync` alone does not keep Node alive (nodejs/node#61941). */
export async function holdingOpen<T>(waiting: PromiseLike<T>): Promise<T> {
  timer ??= Object(setInterval(() => {}, 0x7fffffff)) as NonNullable<typeof timer>;
  if (held++ === 0) timer.ref?.();
  try {
    return await waiting;
  } finally {
    if (--held === 0) timer.unref?.();
  }
}
