/**
 * Ways to get bytes from one thread to another. Owns both ends of each: what a program
 * writes and what it does with what arrives is its own business. At most a window of
 * messages is on its way.
 */

import { parentPort, Worker, workerData } from "node:worker_threads";
import { SharedArena, type SharedArenaHandle, type SharedLease, type SharedPortHandle } from "cleanslab/shared";

export const CHANNEL = "channel";
export const FILLED = "channel, acquireFilled";
export const POOL = "hand-made pool, sent back";
export const RING = "hand-made ring of slots";
export const CLONE = "structured clone";
export const TRANSFER = "transfer, fresh";

/** How many buffers go back at a time, or how many are acknowledged. */
const BATCH = 8;

/** Writes the next message, and answers its length; 0 once there is none. */
export type Write = (bytes: Uint8Array) => number;

export interface Reader {
  /** The bytes are the reader's until it returns. */
  read(bytes: Uint8Array): void;
  /** What the sender is told once everything is read: plain data. */
  result(): unknown;
}

/** What a worker is started with. */
export interface Start {
  /** What it is for: tells it from other workers. */
  readonly task: string;
  readonly way: string;
  readonly byteLength: number;
  readonly window: number;
  readonly handle: SharedArenaHandle;
  readonly port2: SharedPortHandle;
  /** Of the ring by hand: HEAD, TAIL, and the length of each message. */
  readonly words: Int32Array;
  readonly slots: Uint8Array;
  /** The task's own. */
  readonly shared: Float64Array;
}

/** The sender's end. */
interface Outlet extends Start {
  readonly worker: Worker;
  readonly arena: SharedArena;
  readonly port: ReturnType<SharedArena["channel"]>["port1"];
  /** Buffers for the next messages. */
  readonly free: ArrayBuffer[];
}

interface Way {
  /** Sends what `write` writes, until it writes nothing. Gives what the reader made of it. */
  send(outlet: Outlet, write: Write): Promise<unknown>;
  receive(start: Start, reader: Reader): void | Promise<void>;
}

const WAYS: Readonly<Record<string, Way>> = {
  [CLONE]: posted("clone"),
  [TRANSFER]: posted("transfer"),
  [POOL]: posted("pool"),
  [`${POOL}, fill(0)`]: posted("zeroed pool"),
  [RING]: { send: sendInSlots, receive: receiveInSlots },
  "token by postMessage": { send: sendTokens, receive: receiveTokens },
  [CHANNEL]: { send: throughChannel(zeroedLease), receive: receiveLeases },
  [FILLED]: {
    send: throughChannel((arena, byteLength, write) => arena.acquireFilled(byteLength, write)),
    receive: receiveLeases,
  },
};

export const WAY_NAMES: readonly string[] = Object.keys(WAYS);

/** Starts a worker in `entry`, which is told `task`, and must call `receive`. */
export async function openWay(entry: URL, task: string, name: string, byteLength: number, window: number) {
  const way = WAYS[name];
  if (way === undefined) throw new Error(`no way to send messages is called "${name}"`);
  const arena = new SharedArena({ maxBytes: 128 << 20 });
  const { port1: port, port2 } = arena.channel({ capacity: window });
  const words = new Int32Array(new SharedArrayBuffer(4 * (LENGTHS + window)));
  const slots = new Uint8Array(new SharedArrayBuffer(name === RING ? window * byteLength : 0));
  const shared = new Float64Array(new SharedArrayBuffer(2 ** 16));
  const start: Start = { task, way: name, byteLength, window, handle: arena.handle, port2, words, slots, shared };
  const worker = new Worker(entry, { workerData: start });
  worker.once("error", (error) => {
    throw error;
  });
  await new Promise((resolve) => worker.once("message", resolve));
  const outlet: Outlet = { ...start, worker, arena, port, free: [] };
  /** Gives what the reader made of it. */
  const send = (write: Write): Promise<unknown> => way.send(outlet, write);
  return { send, ...outlet };
}

/** In the worker. */
export function receive(start: Start, reader: Reader): void {
  void WAYS[start.way]?.receive(start, reader);
  tell({});
}

export function tell(message: object, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}

interface Back {
  readonly result?: unknown;
  readonly count: number;
  readonly buffers: ArrayBuffer[];
}

function resultFrom(worker: Worker, hear: (message: Back) => void = () => {}): Promise<unknown> {
  return new Promise((resolve) => {
    const each = (message: Back): void => {
      hear(message);
      if (message.result === undefined) return;
      worker.off("message", each);
      resolve(message.result);
    };
    worker.on("message", each);
  });
}

/** Calls `post` while fewer than a window are on their way, until it answers false. */
function pump(
  { worker, window }: Outlet,
  post: () => boolean,
  back: (buffers: ArrayBuffer[]) => void = () => {},
): Promise<unknown> {
  let onItsWay = 0;
  let isOpen = true;
  const fill = (): void => {
    for (; isOpen && onItsWay < window; onItsWay++) isOpen = post();
  };
  const result = resultFrom(worker, ({ count, buffers }) => {
    back(buffers);
    onItsWay -= count;
    fill();
  });
  fill();
  return result;
}

/** Calls `take` with each message, and sends back the buffers that it gives. */
function drain<T>({ result }: Reader, take: (message: T) => ArrayBuffer | undefined): void {
  let buffers: ArrayBuffer[] = [];
  let count = 0;
  parentPort?.on("message", (message: T | null) => {
    const buffer = message === null ? undefined : take(message);
    if (buffer !== undefined) buffers.push(buffer);
    if (++count < BATCH && message !== null) return;
    tell({ count, buffers, ...(message === null && { result: result() }) }, buffers);
    buffers = [];
    count = 0;
  });
}

/** Buffers by `postMessage`. A pool's are transferred, and transferred back. */
function posted(kind: "clone" | "transfer" | "pool" | "zeroed pool"): Way {
  const isPool = kind === "pool" || kind === "zeroed pool";
  return {
    send(outlet, write) {
      const { worker, byteLength, free } = outlet;
      const post = (): boolean => {
        // `allocUnsafeSlow` does not zero, and the buffer is its own.
        const buffer = free.pop() ?? (Buffer.allocUnsafeSlow(byteLength).buffer as ArrayBuffer);
        const bytes = new Uint8Array(buffer);
        const length = write(bytes);
        worker.postMessage(
          length === 0 ? null : bytes.subarray(0, length),
          kind === "clone" || length === 0 ? [] : [buffer],
        );
        if (kind === "clone" || length === 0) free.push(buffer);
        return length > 0;
      };
      return pump(outlet, post, (buffers) => {
        if (kind === "zeroed pool") for (const buffer of buffers) new Uint8Array(buffer).fill(0);
        free.push(...buffers);
      });
    },
    receive: (_start, reader) =>
      drain<Uint8Array<ArrayBuffer>>(reader, (bytes) => {
        reader.read(bytes);
        return isPool ? bytes.buffer : undefined;
      }),
  };
}

function sendTokens(outlet: Outlet, write: Write): Promise<unknown> {
  const { worker, arena, byteLength } = outlet;
  const post = (): boolean => {
    const lease = zeroedLease(arena, byteLength, write);
    const isLast = lease.byteLength === 0;
    worker.postMessage(isLast ? null : lease.handOver());
    if (isLast) lease.release();
    return !isLast;
  };
  return pump(outlet, post);
}

function receiveTokens({ handle }: Start, reader: Reader): void {
  const arena = SharedArena.attach(handle);
  drain<number>(reader, (token) => {
    const lease = arena.adopt(token);
    reader.read(lease.bytes);
    lease.release();
    return undefined;
  });
}

function zeroedLease(arena: SharedArena, byteLength: number, write: Write): SharedLease {
  const lease = arena.acquire(byteLength);
  const length = write(lease.bytes);
  if (length < byteLength) lease.resize(length);
  return lease;
}

function throughChannel(make: (arena: SharedArena, byteLength: number, write: Write) => SharedLease): Way["send"] {
  return async ({ worker, arena, port, byteLength }, write) => {
    const result = resultFrom(worker);
    for (let length = 1; length > 0; ) {
      const lease = make(arena, byteLength, write);
      length = lease.byteLength;
      await port.send(lease);
    }
    return result;
  };
}

async function receiveLeases({ handle, port2 }: Start, { read, result }: Reader): Promise<void> {
  for await (const lease of SharedArena.attach(handle).open(port2)) {
    if (lease.byteLength > 0) read(lease.bytes);
    else tell({ result: result() });
    lease.release();
  }
}

const HEAD = 0;
const TAIL = 16;
const LENGTHS = 32;
const SPINS = 400;

/** Until the word is not `value`. */
async function changed(words: Int32Array, at: number, value: number): Promise<void> {
  for (let spin = 0; spin < SPINS; spin++) if (Atomics.load(words, at) !== value) return;
  const waiting = Atomics.waitAsync(words, at, value);
  if (waiting.async) await waiting.value;
}

/** What one writes by hand: slots in shared memory, dirty, each good until the reader takes the next. */
async function sendInSlots({ worker, words, slots, window, byteLength }: Outlet, write: Write): Promise<unknown> {
  const result = resultFrom(worker);
  const views = Array.from({ length: window }, (_, slot) => slots.subarray(slot * byteLength, (slot + 1) * byteLength));
  let head = words[HEAD] as number;
  for (let [length, tail] = [1, Atomics.load(words, TAIL)]; length > 0; ) {
    for (; head - tail >= window; tail = Atomics.load(words, TAIL)) await changed(words, TAIL, tail);
    const slot = head % window;
    length = write(views[slot] as Uint8Array);
    words[LENGTHS + slot] = length;
    Atomics.store(words, HEAD, ++head);
    Atomics.notify(words, HEAD);
  }
  return result;
}

async function receiveInSlots({ words, slots, window, byteLength }: Start, { read, result }: Reader): Promise<void> {
  parentPort?.on("message", () => {}); // waitAsync alone does not keep the worker
  for (let [tail, head] = [0, 0]; ; ) {
    for (; head === tail; head = Atomics.load(words, HEAD)) await changed(words, HEAD, head);
    const slot = tail % window;
    const length = words[LENGTHS + slot] as number;
    if (length > 0) read(slots.subarray(slot * byteLength, slot * byteLength + length));
    else tell({ result: result() });
    Atomics.store(words, TAIL, ++tail);
    // Half of the slots at a time: a wake-up costs more than a message.
    if (tail % (window >> 1) === 0) Atomics.notify(words, TAIL);
  }
}

/** Adds up the first and the last byte of each message. */
class Sum implements Reader {
  #sum = 0;

  readonly read = (bytes: Uint8Array): void => {
    this.#sum = (this.#sum + (bytes[0] as number) + (bytes[bytes.length - 1] as number)) | 0;
  };

  readonly result = (): number => this.#sum;
}

/** The bundle of this file. Tests run the sources, and only their workers are bundled. */
export const ENTRY = new URL(
  import.meta.url.endsWith(".ts") ? "../build/bench/messages.js" : "./messages.js",
  import.meta.url,
);
export const SUM = "sum of first and last bytes";
const start = workerData as Start | null;
if (start?.task === SUM) receive(start, new Sum());
