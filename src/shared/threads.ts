/**
 * What this thread is called, and how the death of others is noticed. In Node and Bun, the
 * thread that started a worker hears of its exit. In browsers and Deno each worker holds a
 * Web Lock as long as it lives, and the others wait for it. Must not know what becomes of
 * the dead.
 */

import { read } from "./access.js";

/** A worker of Node's, or, in Bun, one of the web's. */
interface WorkerLike {
  readonly threadId: number;
  once?(event: "exit", listener: () => void): void;
  addEventListener?(event: "close", listener: () => void): void;
}

interface WorkerThreads {
  readonly threadId: number;
  readonly isMainThread: boolean;
  getEnvironmentData?(key: string): unknown;
  setEnvironmentData?(key: string, value: unknown): void;
}

interface LocksSnapshot {
  readonly held?: readonly { readonly name: string }[];
  readonly pending?: readonly { readonly name: string }[];
}

interface LocksLike {
  request(name: string, options: { signal?: object }, held: () => unknown): PromiseLike<unknown>;
  query(): PromiseLike<LocksSnapshot>;
}

const { process, navigator, WorkerGlobalScope } = globalThis as {
  process?: {
    getBuiltinModule?(id: string): unknown;
    on?(event: "worker", listener: (worker: WorkerLike) => void): void;
  };
  navigator?: { locks?: LocksLike };
  WorkerGlobalScope?: new () => object;
};

// No import: a bundle for browsers would fail over it.
const nodes = process?.getBuiltinModule?.("node:worker_threads") as WorkerThreads | undefined;
// In Deno all web workers have the thread id 0, but Web Locks work.
const workerThreads = "Deno" in globalThis ? undefined : nodes;
const locks = workerThreads === undefined ? navigator?.locks : undefined;

/** Where locks are refused, as in a sandboxed frame, deaths go unnoticed. */
const refused = (): LocksSnapshot => ({});

// Chromium asks whether a thread may use locks, and until it is told so it sends none of the thread's requests.
locks?.query().then(undefined, refused);

/** A name is the thread's id and 1: above 0, and no other living thread's. */
const engine = workerThreads === undefined ? 1 + Math.floor(Math.random() * (2 ** 31 - 2)) : workerThreads.threadId + 1;

/**
 * In an entry, in the parent's place: a thread without a lock, as the others end with it.
 * A lock would keep a page out of the cache, and Deno from its end.
 */
const MAIN = -1;
const isMain =
  WorkerGlobalScope === undefined ? nodes?.isMainThread !== false : !(globalThis instanceof WorkerGlobalScope);

/** Workers inherit it: the name of the next thread above them with an arena, and of the one above that. */
const ENVIRONMENT_KEY = "cleanslab/shared: thread, parent";

let parent: number | undefined;

/** This thread's name, and the name of the thread that started it; 0 if nobody knows. */
export function identify(): { engine: number; parent: number } {
  if (locks !== undefined) return { engine, parent: isMain ? MAIN : 0 };
  if (parent === undefined) {
    const [above = 0, aboveThat = 0] = (workerThreads?.getEnvironmentData?.(ENVIRONMENT_KEY) ?? []) as number[];
    // Another copy of the package may have said so in this very thread.
    parent = above === engine ? aboveThat : above;
    workerThreads?.setEnvironmentData?.(ENVIRONMENT_KEY, [engine, parent]);
  }
  return { engine, parent };
}

const watches = new Set<WeakRef<DeathWatch>>();
let isListening = false;

/** In Node: `watch` hears of the workers that this thread has started since the first call, and will start. */
function listenForExits(watch: DeathWatch): void {
  watches.add(new WeakRef(watch));
  if (isListening) return;
  isListening = true;
  process?.on?.("worker", (worker) => {
    // It is -1 at its exit.
    const ended = worker.threadId + 1;
    const hear = (): void => {
      for (const each of watches) {
        const heard = each.deref();
        if (heard === undefined) watches.delete(each);
        else heard.ended(ended);
      }
    };
    if (worker.once === undefined) worker.addEventListener?.("close", hear);
    else worker.once("exit", hear);
  });
}

/** How soon it is looked again for the lock of a thread that has just come, and how late at the most. */
const FIRST_LOOK_MS = 5;
const LAST_LOOK_MS = 5000;

/** Tells an arena of deaths. */
export class DeathWatch {
  /** The thread of that name, and those that it started, run no more. */
  readonly ended: (engine: number) => void;
  readonly #prefix: string;
  readonly #watched = new Set<number>();
  readonly #left = new AbortController();
  readonly #gone: Promise<void>;
  #leave = (): void => {};
  #looks = 0;

  constructor(arenaId: number, ended: (engine: number) => void) {
    this.ended = ended;
    this.#prefix = `cleanslab/shared ${arenaId} `;
    this.#gone = new Promise((resolve) => {
      this.#leave = resolve;
    });
    if (workerThreads !== undefined) listenForExits(this);
  }

  /**
   * Asks for this thread's lock, for as long as it lives, and has the others look for it.
   *
   * @param entry index of this thread's entry in the table. Its serial number is in the next word.
   */
  hold(words: Int32Array, entry: number, ring: () => void): void {
    const serial = read(words, entry + 1);
    this.#watched.add(serial);
    if (locks === undefined || isMain) return;
    const gone = this.#gone;
    const held = (): Promise<void> => {
      ring();
      return gone;
    };
    locks.request(this.#prefix + serial, {}, held).then(undefined, refused);
    ring();
  }

  /**
   * Waits for the locks of the threads that have come since the last time, once they have
   * them or stand in line: asked for earlier, a lock would be ours, and that thread dead
   * to us. Not told by the thread itself: it may do nothing but work, or block.
   */
  async look(words: Int32Array, entries: readonly number[]): Promise<void> {
    if (locks === undefined) return;
    const look = ++this.#looks;
    const isNew = (entry: number): boolean =>
      read(words, entry) > 0 && read(words, entry + 2) !== MAIN && !this.#watched.has(read(words, entry + 1));
    for (let ms = FIRST_LOOK_MS; ms < LAST_LOOK_MS && look === this.#looks; ms *= 2) {
      const entered = entries.filter(isNew);
      if (entered.length === 0) return;
      const { held = [], pending = [] } = await locks.query().then(undefined, refused);
      const names = new Set([...held, ...pending].map(({ name }) => name));
      for (const entry of entered) this.#watch(words, entry, names);
      await new Promise<void>((resolve) => void setTimeout(resolve, ms));
    }
  }

  /** This thread is out of the table. */
  leave(): void {
    this.#looks++;
    this.#left.abort();
    this.#leave();
  }

  #watch(words: Int32Array, entry: number, names: ReadonlySet<string>): void {
    const serial = read(words, entry + 1);
    if (this.#watched.has(serial) || !names.has(this.#prefix + serial)) return;
    this.#watched.add(serial);
    const watch = new WeakRef(this);
    const free = (): void => {
      const other = read(words, entry);
      // Otherwise it has left.
      if (read(words, entry + 1) === serial && other > 0) watch.deref()?.ended(other);
    };
    locks?.request(this.#prefix + serial, { signal: this.#left.signal }, free).then(undefined, refused);
  }
}
