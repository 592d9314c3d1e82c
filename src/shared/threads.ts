/**
 * What this thread is called, and how the death of others is noticed. In Node, the thread
 * that started a worker hears of its exit. In browsers each thread holds a Web Lock as
 * long as it lives, and the others wait for it. Must not know what becomes of the dead.
 */

import { read, write } from "./access.js";

interface WorkerLike {
  readonly threadId: number;
  once(event: "exit", listener: () => void): void;
}

interface WorkerThreads {
  readonly threadId: number;
  getEnvironmentData?(key: string): unknown;
  setEnvironmentData?(key: string, value: unknown): void;
}

interface LocksLike {
  request(name: string, held: () => unknown): PromiseLike<unknown>;
}

const { process, navigator } = globalThis as {
  process?: {
    getBuiltinModule?(id: string): unknown;
    on?(event: "worker", listener: (worker: WorkerLike) => void): void;
  };
  navigator?: { locks?: LocksLike };
};

// No import: a bundle for browsers would fail over it.
const workerThreads = process?.getBuiltinModule?.("node:worker_threads") as WorkerThreads | undefined;

/** A name is the thread's id and 1: above 0, and no other living thread's. */
const engine = workerThreads === undefined ? 1 + Math.floor(Math.random() * (2 ** 31 - 2)) : workerThreads.threadId + 1;

/** Workers inherit it: the name of the next thread above them with an arena, and of the one above that. */
const ENVIRONMENT_KEY = "cleanslab/shared: thread, parent";

let parent: number | undefined;

/** This thread's name, and the name of the thread that started it; 0 if nobody knows. */
export function identify(): { engine: number; parent: number } {
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
    worker.once("exit", () => {
      for (const each of watches) {
        const heard = each.deref();
        if (heard === undefined) watches.delete(each);
        else heard.ended(ended);
      }
    });
  });
}

/** In an entry, in the parent's place: the thread holds its lock, so the others may wait for it. */
const HAS_LOCK = -1;

/** Tells an arena of deaths. */
export class DeathWatch {
  /** The thread of that name, and those that it started, run no more. */
  readonly ended: (engine: number) => void;
  readonly #locks: LocksLike | undefined;
  readonly #prefix: string;
  readonly #watched = new Set<number>();
  #letGo: (() => void) | undefined;
  #hasLeft = false;

  constructor(arenaId: number, ended: (engine: number) => void) {
    this.ended = ended;
    this.#prefix = `cleanslab/shared ${arenaId} `;
    this.#locks = workerThreads === undefined ? navigator?.locks : undefined;
    if (workerThreads !== undefined) listenForExits(this);
  }

  /**
   * Holds this thread's lock as long as it lives. The others hear of it only then: asked
   * for earlier, it would be theirs, and this thread dead to them.
   *
   * @param entry index of this thread's entry in the table. Its serial number is in the next word.
   */
  hold(words: Int32Array, entry: number, ring: () => void): void {
    const serial = read(words, entry + 1);
    this.#watched.add(serial);
    this.#locks?.request(this.#prefix + serial, () => {
      write(words, entry + 2, HAS_LOCK);
      ring();
      return new Promise<void>((resolve) => {
        this.#letGo = resolve;
        if (this.#hasLeft) resolve();
      });
    });
  }

  /** Waits for the locks of the threads that have come since the last time. */
  look(words: Int32Array, entries: Iterable<number>): void {
    if (this.#locks === undefined) return;
    const watch = new WeakRef(this);
    for (const entry of entries) {
      const serial = read(words, entry + 1);
      if (read(words, entry) <= 0 || read(words, entry + 2) !== HAS_LOCK || this.#watched.has(serial)) continue;
      this.#watched.add(serial);
      this.#locks.request(this.#prefix + serial, () => {
        const other = read(words, entry);
        // Otherwise it has left.
        if (read(words, entry + 1) === serial && other > 0) watch.deref()?.ended(other);
      });
    }
  }

  /** This thread is out of the table. */
  leave(): void {
    this.#hasLeft = true;
    this.#letGo?.();
  }
}
