/**
 * What cleanslab/shared does on every engine that has shared memory, between the thread
 * that runs the cases, a page for instance, and workers.
 */

import type { SharedArena, SharedArenaHandle, SharedLease, SharedPort, SharedPortHandle } from "cleanslab/shared";
import { check, checkArenaError, checkEqual, checkSame, checkThrows, isAll, randomFrom } from "./check.ts";
import type { ContractCase } from "./contract.ts";
import { endThisThread, type Roles, type Start, type Talk, type Thread } from "./threads.ts";

export type SharedLibrary = typeof import("cleanslab/shared");

const MiB = 2 ** 20;
/** Short, of the longest class, of a few slabs, and longer than what a new arena has. */
const LENGTHS = [0, 1, 300, 32_768, 40_000, 200_000, 2 * MiB];
const MESSAGES = 1000;

/** What is waited for at the most, in milliseconds. */
const PATIENCE_MS = 20_000;

async function until(done: () => boolean, what: string): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; !done(); ) {
    check(performance.now() < end, `waited in vain for this: ${what}`);
    await new Promise<void>((resolve) => setTimeout(resolve, 2));
  }
}

/** The length of message `each`, so that all lengths come at all places. */
function lengthOf(each: number): number {
  return (each * 7919) % 3000;
}

function fill(lease: SharedLease, mark: number): SharedLease {
  lease.bytes.fill(mark);
  return lease;
}

function checkFilled(lease: SharedLease, byteLength: number, mark: number): void {
  checkEqual(lease.byteLength, byteLength, "the length of a lease");
  check(
    isAll(lease.bytes, mark),
    `not all of ${byteLength} bytes are ${mark}, but ${lease.bytes.find((byte) => byte !== mark)}`,
  );
}

/** Sends the messages from 0 on, each with its number. */
async function sendAll(arena: SharedArena, port: SharedPort): Promise<void> {
  for (let each = 0; each < MESSAGES; each++) {
    await port.send(fill(await arena.acquireAsync(lengthOf(each)), each & 255), each);
  }
}

/** Receives them, in order, and answers how many came. */
async function receiveAll(port: SharedPort, each: (lease: SharedLease) => void | Promise<void>): Promise<number> {
  let received = 0;
  for await (const lease of port) {
    checkEqual(lease.tag, received, "the tag");
    checkFilled(lease, lengthOf(received), received & 255);
    received++;
    await each(lease);
  }
  return received;
}

interface ToPort {
  readonly handle: SharedArenaHandle;
  readonly port: SharedPortHandle;
}

/** Attaches, and opens the port that the thread was started with. */
async function opened({ SharedArena }: SharedLibrary, talk: Talk): Promise<{ arena: SharedArena; port: SharedPort }> {
  const { handle, port } = (await talk.next()) as ToPort;
  await untilLocksWork();
  const arena = SharedArena.attach(handle);
  return { arena, port: arena.open(port) };
}

async function attached({ SharedArena }: SharedLibrary, talk: Talk): Promise<SharedArena> {
  const handle = (await talk.next()) as SharedArenaHandle;
  await untilLocksWork();
  return SharedArena.attach(handle);
}

/** In Chromium, the death of a thread is noticed if it had been let ask for locks before it attached. */
async function untilLocksWork(): Promise<void> {
  const { navigator } = globalThis as { navigator?: { locks?: { query(): Promise<unknown> } } };
  await navigator?.locks?.query();
}

export const sharedRoles: Roles<SharedLibrary> = {
  /** Adopts what comes, writes to it, and hands it back. */
  async relay(library, talk) {
    const arena = await attached(library, talk);
    for (;;) {
      const [token, byteLength, mark] = (await talk.next()) as [number, number, number];
      const lease = arena.adopt(token);
      checkFilled(lease, byteLength, mark);
      const { byteOffset } = lease;
      talk.post([fill(lease, mark + 1).handOver(), byteOffset]);
    }
  },

  async echo(library, talk) {
    const { port } = await opened(library, talk);
    await receiveAll(port, (lease) => port.send(lease, lease.tag));
    port.close();
  },

  /** As `echo`, without ever giving way to the event loop. */
  async echoSync(library, talk) {
    const { port } = await opened(library, talk);
    for (let lease = port.receiveSync(); lease !== undefined; lease = port.receiveSync()) {
      while (!port.trySend(lease, lease.tag));
    }
    port.close();
  },

  /** Holds leases, keeps blocks, hands one over, and waits for its end. */
  async hold(library, talk) {
    const arena = await attached(library, talk);
    const held = [300, 5000, 100_000].map((byteLength) => arena.acquire(byteLength));
    arena.acquire(1000).release();
    talk.post([fill(arena.acquire(500), 7).handOver()]);
    while ((await talk.next()) !== "end");
    check(held.length > 0, "");
    endThisThread();
  },

  /** As `hold`, and never gives way to the event loop. */
  async block(library, talk) {
    const arena = await attached(library, talk);
    const held = [300, 5000, 100_000].map((byteLength) => arena.acquire(byteLength));
    const { port1 } = arena.channel();
    talk.post([fill(arena.acquire(500), 7).handOver()]);
    port1.receiveSync();
    for (const lease of held) lease.release();
  },

  /** Starts another that holds, and says what it says. */
  async holdBelow(library, talk, start) {
    const arena = await attached(library, talk);
    const below = start("hold", arena.handle);
    talk.post(await below.next());
    await talk.next();
  },

  /** Has sent and received a part when its end comes. */
  async half(library, talk) {
    const { arena, port } = await opened(library, talk);
    for (const tag of [1, 2]) port.trySend(fill(arena.acquire(100), tag), tag);
    (await port.receive())?.release();
    talk.post("half");
    await talk.next();
  },

  /** Takes all there is, and gives back one lease for each message. */
  async hoard(library, talk) {
    const arena = await attached(library, talk);
    const { longest, leases } = fillUp(library, arena);
    talk.post(longest);
    while ((await talk.next()) === "release") leases.pop()?.release();
    for (const lease of leases) lease.release();
    talk.post("released");
    await talk.next();
  },

  /** Tries tokens in the order in which they come, and answers those that it got. */
  async grab(library, talk) {
    const arena = await attached(library, talk);
    talk.post("ready");
    const got = ((await talk.next()) as number[]).filter((token) => {
      try {
        arena.adopt(token).release();
        return true;
      } catch (error) {
        checkArenaError(library, error, "ERR_TOKEN_USED");
        return false;
      }
    });
    talk.post(got);
  },

  /** What opening a port here throws. */
  async open(library, talk) {
    const { handle, port } = (await talk.next()) as ToPort;
    const arena = library.SharedArena.attach(handle);
    checkThrows(library, () => arena.open(port), "ERR_PORT_OPENED");
    talk.post("refused");
  },

  /** Leases of random lengths, each zero at first and its owner's to the end. */
  async churn(library, talk) {
    const arena = await attached(library, talk);
    const seed = (await talk.next()) as number;
    const random = randomFrom(seed);
    const held: SharedLease[] = [];
    for (let step = 0; step < 2000; step++) {
      if (held.length < 20 && random(5) > 1) {
        const byteLength = random(20) === 0 ? random(200_000) : random(5000);
        const lease = await acquireOrWait(library, arena, byteLength, held);
        checkFilled(lease, lease.byteLength, 0);
        held.push(fill(lease, seed));
      } else if (held.length > 0) {
        const [lease] = held.splice(random(held.length), 1) as [SharedLease];
        checkFilled(lease, lease.byteLength, seed);
        lease.release();
      }
    }
    for (const lease of held) lease.release();
    arena.detach();
    talk.post("done");
  },
};

/** Whoever waits for room holds none: otherwise all may wait for each other. */
async function acquireOrWait(
  library: SharedLibrary,
  arena: SharedArena,
  byteLength: number,
  held: SharedLease[],
): Promise<SharedLease> {
  try {
    return arena.acquire(byteLength);
  } catch (error) {
    checkArenaError(library, error, "ERR_ARENA_EXHAUSTED");
    for (const lease of held.splice(0)) lease.release();
    return arena.acquireAsync(byteLength);
  }
}

/** Every lease of a slab that there is room for. */
function fillUp(library: SharedLibrary, arena: SharedArena): { longest: number; leases: SharedLease[] } {
  const leases: SharedLease[] = [];
  try {
    for (;;) leases.push(arena.acquire(65536));
  } catch (error) {
    checkArenaError(library, error, "ERR_ARENA_EXHAUSTED");
    return { longest: leases.length, leases };
  }
}

/** Nothing is out, in any thread, and all of the memory is one lease's if somebody wants it. */
async function checkAllBack(arena: SharedArena): Promise<void> {
  const { maxBytes } = arena.stats();
  const lease = await arena.acquireAsync(maxBytes);
  check(isAll(lease.bytes, 0), "the lease of all memory is not zero");
  lease.release();
  const { leased, inTransit } = arena.stats().blocks;
  checkEqual(leased, 0, "leased blocks");
  checkEqual(inTransit, 0, "blocks in transit");
  checkSame(arena.audit().problems, [], "the audit");
}

async function collectOften(collect: () => unknown): Promise<void> {
  for (let round = 0; round < 20; round++) {
    await collect();
    await new Promise<void>((resolve) => setTimeout(resolve, 2));
  }
}

type SharedCase = ContractCase<SharedLibrary>;

/** The cases, with workers that `startWorker` starts. */
export function shared(startWorker: Start): readonly SharedCase[] {
  const threads = new Set<Thread>();
  const start: Start = (role, args) => {
    const thread = startWorker(role, args);
    threads.add(thread);
    return thread;
  };

  /** A case whose workers end with it, and which ends if they hang. */
  function withThreads(name: string, run: SharedCase["run"]): SharedCase {
    return {
      name,
      async run(library, environment) {
        let timer: unknown;
        const hung = new Promise((_, reject) => {
          timer = setTimeout(() => reject(new Error("it hangs")), 3 * PATIENCE_MS);
        });
        try {
          await Promise.race([run(library, environment), hung]);
        } finally {
          clearTimeout(timer as number);
          for (const thread of threads) thread.terminate();
          threads.clear();
        }
      },
    };
  }

  /** A worker holds leases; once it has ended as `end` does, they are back without a word from anybody. */
  function death(name: string, role: string, end: (thread: Thread) => void): SharedCase {
    return withThreads(name, async ({ SharedArena }, { skip }) => {
      using arena = new SharedArena({ maxBytes: 4 * MiB });
      const thread = start(role, arena.handle);
      if (role === "block" && thread.outlivesTerminate) skip("here a web worker that blocks runs on after terminate()");
      const [token] = (await thread.next()) as [number];
      check(arena.stats().blocks.leased >= 3, "the worker holds nothing");
      end(thread);
      await until(() => arena.stats().blocks.leased === 0, "the dead worker's leases are back");
      const lease = arena.adopt(token);
      checkFilled(lease, 500, 7);
      lease.release();
      await checkAllBack(arena);
      checkEqual(arena.stats().threads, 1, "threads");
    });
  }

  return [
    withThreads("a lease goes to a worker and back by tokens, where it lies", async ({ SharedArena }) => {
      using arena = new SharedArena({ maxBytes: 4 * MiB });
      const worker = start("relay", arena.handle);
      for (const byteLength of LENGTHS) {
        const lease = fill(arena.acquire(byteLength), 5);
        const { byteOffset } = lease;
        worker.post([lease.handOver(), byteLength, 5]);
        const [token, there] = (await worker.next()) as [number, number];
        checkEqual(there, byteOffset, "the place of the lease in the worker");
        const back = arena.adopt(token);
        checkEqual(back.byteOffset, byteOffset, "the place of the lease");
        checkFilled(back, byteLength, 6);
        back.release();
      }
      await checkAllBack(arena);
    }),

    ...(["echo", "echoSync"] as const).map((role) =>
      withThreads(`a channel carries leases to a worker and back: ${role}`, async ({ SharedArena }) => {
        using arena = new SharedArena({ maxBytes: 2 * MiB });
        const { port1, port2 } = arena.channel({ capacity: 8 });
        start(role, { handle: arena.handle, port: port2 });
        const sent = sendAll(arena, port1);
        let received = 0;
        await receiveAll(port1, (lease) => {
          lease.release();
          if (++received === MESSAGES) port1.close();
        });
        await sent;
        checkEqual(received, MESSAGES, "messages that came back");
        await checkAllBack(arena);
      }),
    ),

    {
      name: "receiveSync gives up when its time is over; a page cannot block",
      run(library) {
        using arena = new library.SharedArena();
        const { port1 } = arena.channel();
        if ("document" in globalThis) checkThrows(library, () => port1.receiveSync(1), "ERR_CANNOT_BLOCK");
        else checkEqual(port1.receiveSync(1), undefined, "what came");
      },
    },

    death("a worker that is terminated leaves nothing behind", "hold", (thread) => thread.terminate()),
    death("a worker that is terminated while it blocks leaves nothing behind", "block", (thread) => thread.terminate()),
    death("a worker that ends itself leaves nothing behind", "hold", (thread) => thread.post("end")),
    death("a worker's worker dies with it", "holdBelow", (thread) => thread.terminate()),

    withThreads(
      "the other end of a dead worker's channel gets what was sent, an error, and its own back",
      async (library) => {
        using arena = new library.SharedArena({ maxBytes: 4 * MiB });
        const { port1, port2 } = arena.channel();
        const worker = start("half", { handle: arena.handle, port: port2 });
        for (const tag of [11, 12, 13]) port1.trySend(fill(arena.acquire(200), tag), tag);
        checkEqual(await worker.next(), "half", "what the worker says");
        worker.terminate();
        for (const tag of [1, 2]) {
          const lease = await port1.receive();
          checkEqual(lease?.tag, tag, "the tag");
          checkFilled(lease as SharedLease, 100, tag);
          lease?.release();
        }
        const error = await port1.receive().then(
          (lease) => `a message: ${lease}`,
          (reason: unknown) => reason,
        );
        checkArenaError(library, error, "ERR_PEER_ENDED");
        const mine = fill(arena.acquire(10), 9);
        checkThrows(library, () => port1.trySend(mine), "ERR_PEER_ENDED");
        checkFilled(mine, 10, 9);
        mine.release();
        const back = port1.peerEnded();
        checkSame(
          back.map(({ tag }) => tag),
          [12, 13],
          "what came back",
        );
        for (const lease of back) {
          checkFilled(lease, 200, lease.tag);
          lease.release();
        }
        await checkAllBack(arena);
      },
    ),

    withThreads(
      "acquireAsync waits until another thread makes room, and what threads keep is not in the way",
      async (library) => {
        using arena = new library.SharedArena({ maxBytes: MiB });
        const worker = start("hoard", arena.handle);
        checkEqual(await worker.next(), 16, "slabs that the worker holds");
        checkThrows(library, () => arena.acquire(1), "ERR_ARENA_EXHAUSTED");
        const waiting = arena.acquireAsync(70_000);
        worker.post("release");
        worker.post("release");
        (await waiting).release();
        const all = arena.acquireAsync(MiB);
        worker.post("the rest");
        (await all).release();
        checkEqual(await worker.next(), "released", "what the worker says");
        await checkAllBack(arena);
      },
    ),

    withThreads("of two threads that adopt a token one gets it, and a port is opened once", async (library) => {
      using arena = new library.SharedArena({ maxBytes: 2 * MiB });
      const tokens = Array.from({ length: 500 }, () => arena.acquire(256).handOver());
      const grabbers = [1, 2].map(() => start("grab", arena.handle));
      for (const grabber of grabbers) await grabber.next();
      for (const grabber of grabbers) grabber.post(tokens);
      const got = (await Promise.all(grabbers.map((grabber) => grabber.next()))) as number[][];
      checkSame(got.flat().sort(), [...tokens].sort(), "the tokens that were adopted");
      checkThrows(library, () => arena.adopt(tokens[0] ?? 0), "ERR_TOKEN_USED");
      const { port1, port2 } = arena.channel();
      using mine = arena.open(port2);
      checkEqual(await start("open", { handle: arena.handle, port: port2 }).next(), "refused", "what the worker says");
      port1.close();
      check(mine.closed, "the other end is open");
      await checkAllBack(arena);
    }),

    withThreads(
      "four threads at once: every lease is zero at first, and its owner's to the end",
      async ({ SharedArena }) => {
        using arena = new SharedArena({ maxBytes: MiB });
        const workers = [1, 2, 3, 4].map((seed) => {
          const worker = start("churn", arena.handle);
          worker.post(seed);
          return worker;
        });
        for (const worker of workers) checkEqual(await worker.next(), "done", "what a worker says");
        checkEqual(arena.stats().threads, 1, "threads");
        await checkAllBack(arena);
      },
    ),

    {
      name: "who waits for room is served, though nobody else holds the arena any more",
      async run({ SharedArena }, { collect, skip }) {
        if (collect === undefined) return skip("no way to ask this engine for a garbage collection");
        using arena = new SharedArena({ maxBytes: MiB });
        const all = arena.acquire(MiB);
        const waiting = (() => SharedArena.attach(arena.handle).acquireAsync(1000))();
        let served: SharedLease | undefined;
        waiting.then((lease) => {
          served = lease;
        });
        await collectOften(collect);
        all.release();
        await until(() => served !== undefined, "it is served");
        served?.release();
      },
    },

    {
      name: "what an arena kept that nobody has any more is room for others, in a thread that lives on",
      async run({ SharedArena }, { collect, skip }) {
        if (collect === undefined) return skip("no way to ask this engine for a garbage collection");
        using arena = new SharedArena({ maxBytes: MiB });
        (() => {
          const dropped = SharedArena.attach(arena.handle);
          for (const lease of [1, 2, 3].map(() => dropped.acquire(1000))) lease.release();
        })();
        await collectOften(collect);
        checkEqual(arena.stats().threads, 2, "threads");
        let served: SharedLease | undefined;
        arena.acquireAsync(MiB).then((lease) => {
          served = lease;
        });
        await until(() => served !== undefined, "all memory is there for one");
        served?.release();
        checkEqual(arena.stats().threads, 1, "threads");
      },
    },
  ];
}
