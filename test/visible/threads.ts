/**
 * The allocators for two threads under observation, and the two threads: this one, and a
 * worker, which begins in this file too. What is tried is the probes' business.
 */

import { once } from "node:events";
import { parentPort, type Transferable, Worker, workerData } from "node:worker_threads";
import { SharedArena, type SharedArenaHandle, type SharedLease } from "cleanslab/shared";
import { type Observation, thrownBy } from "./probe.ts";
import type { OpenSubject, Subject } from "./subjects.ts";
import { BUFFER_BYTES, CROWD, defaceOthers, Inspection, isAll, Mark } from "./traffic.ts";

/** A buffer of `BUFFER_BYTES` while it is somebody's. A lease of a shared arena is one as it stands. */
interface SharedHeld {
  readonly bytes: Uint8Array;
  release(): void;
}

/** One thread's part of an allocator. */
interface SharedAllocator {
  acquire(): SharedHeld;
  /** Ends it here. What is posted to the thread that has it next, and with which transfer list. */
  give(held: SharedHeld): { body: unknown; transfer?: Transferable[] };
  take(body: unknown): SharedHeld;
}

/** @param handle the other thread's; without one, the allocator is a new one. */
type Open = (handle?: unknown) => { handle: unknown; allocator: SharedAllocator };

/** Buffers of an arena, and slots of a pool: enough for the most that a probe holds at a time. */
const MOST = 8192;

const FRESH = "SharedArrayBuffer";
const WAYS: Readonly<Record<string, Open>> = {
  [FRESH]: withoutState(() => new Uint8Array(new SharedArrayBuffer(BUFFER_BYTES)), false),
  "transfer of a fresh ArrayBuffer": withoutState(() => new Uint8Array(BUFFER_BYTES), true),
  "pool over one SharedArrayBuffer": slots(() => {}),
  "the same pool, fill(0)": slots((bytes) => bytes.fill(0)),
  SharedArena: openArena,
};

/** What is given back to the garbage collector alone. */
function withoutState(make: () => Uint8Array, isTransferred: boolean): Open {
  const own = (bytes: Uint8Array): SharedHeld => ({ bytes, release() {} });
  const allocator: SharedAllocator = {
    acquire: () => own(make()),
    give: ({ bytes }) => ({ body: bytes, transfer: isTransferred ? [bytes.buffer as ArrayBuffer] : [] }),
    take: (body) => own(body as Uint8Array),
  };
  return () => ({ handle: null, allocator });
}

/** The lines that one writes by hand: slots of one length, and a word for each that says whether it is taken. */
function slots(wipe: (bytes: Uint8Array) => unknown): Open {
  const create = () => ({
    words: new Int32Array(new SharedArrayBuffer(4 * MOST)),
    memory: new SharedArrayBuffer(BUFFER_BYTES * MOST),
  });
  return (handle = create()) => {
    const { words, memory } = handle as ReturnType<typeof create>;
    const lend = (slot: number): SharedHeld => ({
      bytes: new Uint8Array(memory, slot * BUFFER_BYTES, BUFFER_BYTES),
      release() {
        wipe(this.bytes);
        Atomics.store(words, slot, 0);
      },
    });
    const allocator: SharedAllocator = {
      acquire() {
        const slot = words.findIndex((_, each) => Atomics.compareExchange(words, each, 0, 1) === 0);
        if (slot < 0) throw new Error("no slot is free");
        return lend(slot);
      },
      give: ({ bytes }) => ({ body: bytes.byteOffset / BUFFER_BYTES }),
      take: (body) => lend(body as number),
    };
    return { handle, allocator };
  };
}

function openArena(handle?: unknown): ReturnType<Open> {
  const arena =
    handle === undefined
      ? new SharedArena({ maxBytes: BUFFER_BYTES * MOST })
      : SharedArena.attach(handle as SharedArenaHandle);
  const allocator: SharedAllocator = {
    acquire: () => arena.acquire(BUFFER_BYTES),
    give: (held) => ({ body: (held as SharedLease).handOver() }),
    take: (body) => arena.adopt(body as number),
  };
  return { handle: arena.handle, allocator };
}

/** The code of one thread, and the buffers that it has. */
export class Party {
  readonly allocator: SharedAllocator;
  #owned: SharedHeld[] = [];

  constructor(allocator: SharedAllocator) {
    this.allocator = allocator;
  }

  get views(): Uint8Array[] {
    return this.#owned.map(({ bytes }) => bytes);
  }

  take(body: unknown): void {
    this.#owned.push(this.allocator.take(body));
  }

  /** Takes `count` buffers, and fills each with `mark`. What they looked like. */
  gather(mark: number, count = CROWD): Observation {
    const { look, result } = new Inspection();
    for (let each = 0; each < count; each++) {
      const held = this.allocator.acquire();
      look(held.bytes);
      held.bytes.fill(mark);
      this.#owned.push(held);
    }
    return result();
  }

  /** Takes all that there is, and at the most `MOST`. */
  hoard(): void {
    thrownBy(() => {
      while (this.#owned.length < MOST) this.#owned.push(this.allocator.acquire());
    });
  }

  fill(mark: number): void {
    for (const bytes of this.views) bytes.fill(mark);
  }

  /** Whether all that it has holds `mark`, and nothing else. */
  areAll(mark: number): boolean {
    return this.views.every((bytes) => isAll(bytes, mark));
  }

  release(): void {
    for (const held of this.#owned.splice(0)) held.release();
  }

  /** Writes all over a view that is not its own, and over every other owner's bytes around it. */
  deface(view: Uint8Array): void {
    defaceOthers(view.buffer);
    view.fill(Mark.stale);
  }
}

type Job = Exclude<
  { [K in keyof Party]: Party[K] extends (...args: never[]) => unknown ? K : never }[keyof Party],
  never
>;

export interface Threads {
  readonly here: Party;
  /** Has the worker do it. */
  there<J extends Job>(job: J, args: Parameters<Party[J]>, transfer?: Transferable[]): Promise<ReturnType<Party[J]>>;
  /** Ends the worker, whatever it holds. */
  end(): Promise<void>;
}

/** The bundle of this file. Tests run the sources, and only their workers are bundled. */
export const ENTRY = new URL(
  import.meta.url.endsWith(".ts") ? "../../build/test/visible-thread.js" : "./visible-thread.js",
  import.meta.url,
);
const TASK = "to be observed";

interface Start {
  readonly task: string;
  readonly way: string;
  readonly handle: unknown;
}

function open(way: string, opened: Open): OpenSubject<Threads> {
  const { handle, allocator } = opened();
  const start: Start = { task: TASK, way, handle };
  const worker = new Worker(ENTRY, { workerData: start });
  const threads: Threads = {
    here: new Party(allocator),
    async there(job, args, transfer = []) {
      worker.postMessage({ job, args }, transfer);
      const [answer] = await once(worker, "message");
      return answer;
    },
    async end() {
      await worker.terminate();
      // In a later turn: all have heard of the exit by then.
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
  return { allocator: threads, close: () => threads.end() };
}

const subjects = Object.entries(WAYS).map(
  ([name, opened]): Subject<Threads> => ({ name, open: () => open(name, opened) }),
);
export const [FRESH_SHARED, ...SHARED_SUBJECTS] = subjects as [Subject<Threads>, ...Subject<Threads>[]];

const start = workerData as Partial<Start> | null;
if (start?.task === TASK) {
  const opened = WAYS[start.way ?? ""]?.(start.handle);
  if (opened === undefined) throw new Error(`nothing under observation is called "${start.way}"`);
  const party = new Party(opened.allocator);
  parentPort?.on("message", ({ job, args }: { job: Job; args: unknown[] }) => {
    const run = party[job] as (...args: unknown[]) => unknown;
    parentPort?.postMessage(run.apply(party, args));
  });
}
