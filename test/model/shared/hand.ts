/**
 * A thread's own side of a random program: it does what it is told to, and says what came of
 * it in plain data. Leases, ports, and whatever takes its time, go by numbers that the program
 * gives them. Knows no model. Bundled, it is the worker's program, too.
 */

import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import type { SharedPortHandle } from "cleanslab/shared";
import { SharedArena, type SharedArenaHandle, type SharedLease, type SharedPort } from "cleanslab/shared";

/** Where a lease lies, how long it is, and its tag. */
export type Place = readonly [byteOffset: number, byteLength: number, tag: number];
/** What a call returned, or the code of what it threw. */
export type Answer<T = unknown> = { readonly value: T; readonly code?: undefined } | { readonly code: string };
type Settled = [key: number, answer: Answer];

/** What a worker of this program is started with. */
export const HAND = "a hand";

let arena: SharedArena;
const leases = new Map<number, SharedLease>();
const ports = new Map<number, SharedPort>();
const aborts = new Map<number, AbortController>();
let settled: Settled[] = [];

/** What a thread can be told to do. */
export const deeds = {
  create: (maxBytes: number): SharedArenaHandle => begin(new SharedArena({ maxBytes })).handle,
  attach: (handle: SharedArenaHandle) => begin(SharedArena.attach(handle)).threadId,
  acquire: (key: number, byteLength: number) => keep(key, arena.acquire(byteLength)),
  /** The leases have the numbers from `key` on, as wherever there are several. */
  acquireAsync(key: number, byteLengths: readonly number[]): void {
    const abort = new AbortController();
    const { signal } = abort;
    aborts.set(key, abort);
    const [byteLength, ...others] = byteLengths as [number, ...number[]];
    if (others.length > 0) later(key, arena.acquireAsync(byteLengths, { signal }), (all) => all.map(keepFrom(key)));
    else later(key, arena.acquireAsync(byteLength, { signal }), (lease) => [keep(key, lease)]);
  },
  abort: (key: number) => aborts.get(key)?.abort(new Error("given up")),
  /** Fills all that it is lent, and answers that it wrote `written`; for -1 it throws. */
  async acquireFilled(key: number, byteLength: number, mark: number, written: number, isAsync: boolean) {
    const write = (bytes: Uint8Array): number => {
      bytes.fill(mark);
      if (written < 0) throw new Error("thrown");
      return written;
    };
    if (!isAsync) return keep(key, arena.acquireFilled(byteLength, write));
    return keep(key, await arena.acquireFilled(byteLength, async (bytes) => write(bytes)));
  },
  copyOf: (key: number, byteLength: number, mark: number) =>
    keep(key, arena.copyOf(new Uint8Array(byteLength).fill(mark))),
  /** Where it was lent bytes that it filled, and whether they were zero. */
  use: (byteLength: number, mark: number) =>
    arena.use(byteLength, (bytes): [place: Place, wasZero: boolean] => {
      const { buffer, byteOffset, length } = bytes;
      const wasZero = Buffer.from(buffer, byteOffset, length).equals(Buffer.alloc(length));
      bytes.fill(mark);
      return [[byteOffset, length, 0], wasZero];
    }),
  /** Leases of a scope that ended at once. */
  scope(key: number, byteLengths: readonly number[]): Place[] {
    using scope = arena.scope();
    return byteLengths.map((byteLength, each) => keep(key + each, scope.acquire(byteLength)));
  },
  /** What a writer took that began small. */
  writer(key: number, byteLength: number, mark: number): Place {
    using writer = arena.writer(16);
    const piece = new Uint8Array(1000).fill(mark);
    for (let left = byteLength; left > 0; left -= 1000) writer.writeBytes(piece.subarray(0, left));
    return keep(key, writer.take());
  },
  write: (key: number, from: number, to: number, mark: number) => void leaseOf(key).bytes.fill(mark, from, to),
  resize(key: number, byteLength: number): Place {
    leaseOf(key).resize(byteLength);
    return keep(key, leaseOf(key));
  },
  /** The lease stays known, for calls that must be refused. */
  release: (key: number) => leaseOf(key).release(),
  handOver: (key: number) => leaseOf(key).handOver(),
  adopt: (key: number, token: number) => keep(key, arena.adopt(token)),
  channel(key: number, capacity: number): SharedPortHandle {
    const { port1, port2 } = arena.channel({ capacity });
    ports.set(key, port1);
    return port2;
  },
  open: (key: number, handle: SharedPortHandle) => void ports.set(key, arena.open(handle)),
  trySend: (port: number, key: number, tag: number) => portOf(port).trySend(leaseOf(key), tag),
  send: (port: number, key: number, tag: number) => later(key, portOf(port).send(leaseOf(key), tag), () => true),
  tryReceive: (port: number, key: number, isSync: boolean) =>
    keepIfAny(key, isSync ? portOf(port).receiveSync(0) : portOf(port).tryReceive()),
  receive: (port: number, key: number) => later(key, portOf(port).receive(), (lease) => keepIfAny(key, lease)),
  close: (port: number) => portOf(port).close(),
  closed: (port: number) => portOf(port).closed,
  peerEnded: (port: number, key: number) => portOf(port).peerEnded().map(keepFrom(key)),
  trim: () => arena.trim(),
  detach: () => arena.detach(),
  dispose: () => arena?.[Symbol.dispose](),
  threadEnded: (threadId: number) => arena.threadEnded(threadId),
  stats: () => arena.stats(),
  audit: () => arena.audit().problems.join("; "),
  /** What has settled since the last time, in that order, also in the next turn of the event loop. */
  async settled(): Promise<Settled[]> {
    await setImmediate();
    return settled.splice(0);
  },
  /** The codes of calls on a lease that has ended here. */
  ended(key: number): string {
    const lease = leaseOf(key);
    const calls = [() => lease.bytes, () => lease.release(), () => lease.handOver(), () => lease.resize(10)];
    return codesOf([...calls, () => lease.copy()]);
  },
  /** Of a thread that was declared dead: the codes of what it tries yet. */
  refused: (keys: readonly number[], token: number) =>
    codesOf([
      ...keys.map((key, each) => () => (each % 2 === 0 ? leaseOf(key).release() : leaseOf(key).handOver())),
      ...[() => arena.acquire(100), () => arena.acquire(100_000), () => arena.adopt(token), () => arena.channel()],
      ...[() => arena.scope(), () => arena.trim()],
    ]),
};

export type Deed = keyof typeof deeds;

/** Does it, and says what came of it. */
export async function act(name: Deed, args: readonly unknown[]): Promise<Answer> {
  try {
    return { value: await (deeds[name] as (...args: readonly unknown[]) => unknown)(...args) };
  } catch (error) {
    return { code: codeOf(error) };
  }
}

if (workerData === HAND) {
  parentPort?.on("message", async ([name, args]: [Deed, unknown[]]) => {
    parentPort?.postMessage(await act(name, args));
  });
}

function begin(next: SharedArena): SharedArena {
  // What an earlier program waits for waits no longer.
  arena?.[Symbol.dispose]();
  for (const known of [leases, ports, aborts]) known.clear();
  settled = [];
  arena = next;
  return next;
}

function later<T>(key: number, coming: Promise<T>, answer: (value: T) => unknown): void {
  // What an earlier program waited for is nobody's business.
  const mine = settled;
  coming.then(answer).then(
    (value) => mine.push([key, { value }]),
    (error) => mine.push([key, { code: codeOf(error) }]),
  );
}

function keep(key: number, lease: SharedLease): Place {
  leases.set(key, lease);
  const { byteOffset, byteLength } = lease.bytes;
  if (lease.byteLength !== byteLength) throw new Error(`lease.byteLength is ${lease.byteLength}, not ${byteLength}`);
  return [byteOffset, byteLength, lease.tag];
}

const keepFrom = (key: number) => (lease: SharedLease, each: number) => keep(key + each, lease);
const keepIfAny = (key: number, lease: SharedLease | undefined) => (lease === undefined ? null : keep(key, lease));

function leaseOf(key: number): SharedLease {
  return leases.get(key) as SharedLease;
}

function portOf(key: number): SharedPort {
  return ports.get(key) as SharedPort;
}

/** The library's code, or another error's message. */
function codeOf(error: unknown): string {
  const { code, message } = Object(error) as { code?: string; message?: string };
  return code ?? String(message);
}

/** What these calls throw, each code once. */
function codesOf(calls: readonly (() => unknown)[]): string {
  const codes = calls.map((call) => {
    try {
      call();
      return `nothing for ${call}`;
    } catch (error) {
      return codeOf(error);
    }
  });
  return [...new Set(codes)].join(", ");
}
