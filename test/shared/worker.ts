/** What the workers of the tests do. Each job attaches, works, and says so. */

import { once } from "node:events";
import { parentPort, workerData } from "node:worker_threads";
import { SharedArena, type SharedArenaHandle, type SharedLease, type SharedPortHandle } from "cleanslab/shared";

interface Data {
  readonly handle: SharedArenaHandle;
  readonly port2: SharedPortHandle;
  /** How many, or how long. */
  readonly count: number;
  readonly flag: Int32Array;
}

const port = parentPort;
if (port === null) throw new Error("this is for a worker");
const say = (message: unknown): void => port.postMessage(message);
const hear = async (): Promise<unknown> => (await once(port, "message"))[0];
/** Leases that nobody releases. */
const held: SharedLease[] = [];

const code = (fn: () => unknown): unknown => {
  try {
    fn();
    return "no error";
  } catch (error) {
    return (error as { code?: unknown }).code ?? String(error);
  }
};

export const jobs = {
  /** Sends each message back, with its tag, until the channel ends. */
  async echo({ handle, port2 }: Data) {
    const end = SharedArena.attach(handle).open(port2);
    say("open");
    for await (const lease of end) await end.send(lease, lease.tag);
  },
  /** Opens its port, receives nothing, and exits. */
  async openPort({ handle, port2 }: Data) {
    SharedArena.attach(handle).open(port2);
    say("open");
    await hear();
    process.exit(0);
  },
  /** Sends `count` messages, and exits. */
  async sendAndExit({ handle, port2, count }: Data) {
    const arena = SharedArena.attach(handle);
    const end = arena.open(port2);
    for (let each = 0; each < count; each++) end.trySend(arena.copyOf(Uint8Array.of(each, 1)), each);
    process.exit(0);
  },
  /** Makes a channel, blocks until it ends, and says what came: tags, and the code of the error. */
  async listenSync({ handle }: Data) {
    const { port1, port2 } = SharedArena.attach(handle).channel();
    say(port2);
    const tags: unknown[] = [];
    const error = code(() => {
      for (let lease = port1.receiveSync(); lease !== undefined; lease = port1.receiveSync()) {
        tags.push(lease.tag);
        lease.release();
      }
    });
    say([tags, error]);
  },
  /** Attaches until no thread more can, and hands a lease over from each. */
  async crowd({ handle }: Data) {
    let attached = 0;
    const full = code(() => {
      for (; ; attached++) {
        const arena = SharedArena.attach(handle);
        arena.acquire(10).handOver();
        arena.detach();
      }
    });
    say([attached, full]);
  },
  /** Attaches, and throws. */
  async fail({ handle }: Data) {
    held.push(SharedArena.attach(handle).acquire(1000));
    say("attached");
    await hear();
    throw new Error("as the test wants");
  },
  /** Keeps blocks, and is never idle until the flag is set. */
  async busy({ handle, flag }: Data) {
    const arena = SharedArena.attach(handle);
    arena.acquire(1000).release();
    const leases = Array.from({ length: 16 }, () => arena.acquire(8000));
    for (const lease of leases) lease.release();
    say("busy");
    while (Atomics.load(flag, 0) === 0) arena.acquire(1000).release();
  },
  /** Waits for room, and says what it got. */
  async wait({ handle, count }: Data) {
    const arena = SharedArena.attach(handle);
    say("waiting");
    const lease = await arena.acquireAsync(count);
    say(lease.byteLength);
    lease.release();
    arena.trim();
    await hear();
  },
  /** Goes on after it was declared dead. */
  async zombie({ handle }: Data) {
    const arena = SharedArena.attach(handle);
    const lease = arena.acquire(1000);
    arena.acquire(300).release();
    const other = arena.acquire(2000);
    // A closed end takes back what a dead peer has not received: here, its own thread's.
    const { port1, port2 } = arena.channel();
    arena.open(port2);
    port1.trySend(arena.acquire(64));
    port1.close();
    say(arena.threadId);
    await hear();
    say([
      code(() => lease.release()),
      code(() => other.handOver()),
      code(() => arena.acquire(300)),
      code(() => arena.acquire(64)),
      code(() => arena.acquire(400_000)),
      code(() => arena.adopt(1)),
    ]);
    port.close();
  },
} satisfies Record<string, (data: Data) => Promise<void>>;

export type Jobs = typeof jobs;

const { job } = workerData as { job: keyof Jobs };
// Not with `await` at the top: Node 20 aborts if such a worker is terminated.
jobs[job](workerData as Data).catch((error: unknown) => {
  setImmediate(() => {
    throw error;
  });
});
