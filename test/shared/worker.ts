/** What the workers of the tests do. Each job attaches, works, and says so. */

import { once } from "node:events";
import { parentPort, Worker, workerData } from "node:worker_threads";
import {
  SharedArena,
  type SharedArenaHandle,
  type SharedLease,
  type SharedPort,
  type SharedPortHandle,
} from "cleanslab/shared";

interface Data {
  readonly handle: SharedArenaHandle;
  readonly port2?: SharedPortHandle;
  /** How many, or how long. */
  readonly count?: number;
  readonly token?: number;
  readonly isStranger?: boolean;
  readonly flag?: Int32Array;
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

const open = ({ handle, port2 }: Data): SharedPort => {
  if (port2 === undefined) throw new Error("this job needs a port");
  return SharedArena.attach(handle).open(port2);
};

export const jobs = {
  /** Holds `count` leases of 1000 bytes and a long one, keeps one block, hands one over: the token. */
  async hold({ handle, count = 1 }: Data) {
    const arena = SharedArena.attach(handle);
    for (let each = 0; each < count; each++) held.push(arena.acquire(1000));
    held.push(arena.acquire(100_000));
    arena.acquire(5000).release();
    const sent = arena.acquire(10);
    sent.bytes.fill(7);
    say({ threadId: arena.threadId, token: sent.handOver() });
    await hear();
    process.exit(3);
  },
  /** Hands over what it was told to make, forever. */
  async produce({ handle }: Data) {
    const arena = SharedArena.attach(handle);
    for (;;) {
      const byteLength = (await hear()) as number;
      const lease = arena.acquire(byteLength);
      lease.bytes.fill(byteLength & 255);
      say(lease.handOver());
    }
  },
  /** Sends each message back, with its tag and one more in each byte. */
  async echo(data: Data) {
    const port2 = open(data);
    say("open");
    for await (const lease of port2) {
      for (let at = 0; at < lease.byteLength; at++) (lease.bytes[at] as number)++;
      await port2.send(lease, lease.tag);
    }
    port2.close();
    say("end");
    port?.close();
  },
  /** The same, blocking. */
  async echoSync(data: Data) {
    const port2 = open(data);
    say("open");
    for (let lease = port2.receiveSync(); lease !== undefined; lease = port2.receiveSync()) {
      (lease.bytes[0] as number)++;
      if (!port2.trySend(lease, lease.tag)) throw new Error("the test sends one at a time");
    }
    say("end");
    port?.close();
  },
  /** Receives `count` messages, then stops to, and holds them. */
  async receive(data: Data) {
    const port2 = open(data);
    say("open");
    for (let each = 0; each < (data.count ?? 0); each++) {
      const lease = await port2.receive();
      if (lease !== undefined) held.push(lease);
    }
    say("received");
    await hear();
    process.exit(0);
  },
  /** Sends `count` messages, then ends: by closing, or at once. */
  async sendAndEnd(data: Data) {
    const arena = SharedArena.attach(data.handle);
    const port2 = arena.open(data.port2 as SharedPortHandle);
    for (let each = 0; each < (data.count ?? 0); each++) port2.trySend(arena.copyOf(Uint8Array.of(each, 1)), each);
    say("sent");
    if ((await hear()) === "close") port2.close();
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
    port?.close();
  },
  /** Makes an arena, and ends. */
  async create() {
    const arena = new SharedArena({ maxBytes: 1 << 20 });
    held.push(arena.acquire(1000), arena.acquire(100_000));
    const sent = arena.acquire(10);
    sent.bytes.fill(7);
    say({ handle: arena.handle, token: sent.handOver() });
    await hear();
    process.exit(0);
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
    port?.close();
  },
  /** Attaches, and throws. */
  async fail({ handle }: Data) {
    held.push(SharedArena.attach(handle).acquire(1000));
    say("attached");
    await hear();
    throw new Error("as the test wants");
  },
  /** Fills the arena with leases of `count` bytes, and releases one each time it is told to. */
  async fill({ handle, count = 65536 }: Data) {
    const arena = SharedArena.attach(handle);
    const full = (): unknown =>
      code(() => {
        for (;;) held.push(arena.acquire(count));
      });
    say([full(), held.length]);
    for (;;) {
      if ((await hear()) === "end") port?.close();
      held.pop()?.release();
      say(held.length);
    }
  },
  /** Uses `count` bytes of every kind, releases them, and then does nothing: it keeps blocks. */
  async keep({ handle, count = 1000 }: Data) {
    const arena = SharedArena.attach(handle);
    const leases = Array.from({ length: 32 }, () => arena.acquire(count));
    for (const lease of leases) lease.release();
    say(arena.stats().blocks.kept);
    await hear();
    port?.close();
  },
  /** Keeps blocks, and is never idle until the flag is set. */
  async busy({ handle, flag = new Int32Array(1) }: Data) {
    const arena = SharedArena.attach(handle);
    arena.acquire(1000).release();
    const leases = Array.from({ length: 16 }, () => arena.acquire(8000));
    for (const lease of leases) lease.release();
    say("busy");
    while (Atomics.load(flag, 0) === 0) arena.acquire(1000).release();
    port?.close();
  },
  /** Waits for room, and says what it got. */
  async wait({ handle, count = 65536 }: Data) {
    const arena = SharedArena.attach(handle);
    say("waiting");
    const lease = await arena.acquireAsync(count);
    say(lease.byteLength);
    lease.release();
    arena.trim();
    await hear();
    port?.close();
  },
  /** Starts another worker, which holds leases; and holds some itself unless it is to be a stranger to the arena. */
  async parent({ handle, isStranger = false }: Data) {
    if (!isStranger) held.push(SharedArena.attach(handle).acquire(1000));
    const child = new Worker(process.argv[1] ?? "", { workerData: { job: "hold", handle, count: 5 } });
    const [said] = (await once(child, "message")) as [object];
    say(said);
    await hear();
  },
  /** Says what an adopt of the token brings. */
  async adopt({ handle, token = 0 }: Data) {
    const arena = SharedArena.attach(handle);
    say(code(() => held.push(arena.adopt(token))));
    say(held[0] === undefined ? undefined : [held[0].byteLength, held[0].bytes[0]]);
    port?.close();
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
    port?.close();
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
