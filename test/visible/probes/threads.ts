/** A buffer between two threads: after its release, after it was sent, and what is around it. */

import { firstOf, Harm, type Observation, type Probe, themed, thrownBy } from "../probe.ts";
import type { Threads } from "../threads.ts";
import { isAll, Mark, showsOthers } from "../traffic.ts";
import { describeLook } from "./stale.ts";

/** Owners around the one that a probe watches. */
const FEW = 8;

export const THREAD_PROBES: readonly Probe<Threads>[] = [
  ...themed<Threads>("a buffer that was released here, or by a worker", {
    "bytes at hand-out, a worker's before": async ({ here, there }) => {
      await there("gather", [Mark.other]);
      await there("release", []);
      return here.gather(Mark.first);
    },
    "stale view reads, a worker is next": async (threads) => {
      const looks = (await staleViews(threads)).map(looksLike);
      return looks.find(({ harm }) => harm === Harm.othersRead) ?? (looks[0] as Observation);
    },
    "stale view writes, a worker is next": async (threads) => {
      for (const view of await staleViews(threads)) view.fill(Mark.stale);
      return writtenThere(threads, null);
    },
    "released twice, a worker between": async (threads) => {
      const { here, there } = threads;
      const held = here.allocator.acquire();
      held.release();
      await there("gather", [Mark.other]);
      const threw = thrownBy(() => held.release());
      here.gather(Mark.first);
      return writtenThere(threads, threw);
    },
  }),
  ...themed<Threads>("a buffer that was sent to a worker", {
    "sender's view, reading": async (threads) => {
      const { view } = await send(threads);
      await threads.there("fill", [Mark.other]);
      return looksLike(view);
    },
    "sender's view, writing": async (threads) => {
      const { view } = await send(threads);
      await threads.there("fill", [Mark.other]);
      return writtenThere(
        threads,
        thrownBy(() => view.fill(Mark.stale)),
      );
    },
    "sender's view, after reuse there": async (threads) => {
      const { view } = await send(threads);
      await reuseThere(threads);
      return looksLike(view);
    },
    "sent once, taken twice": takenTwice,
    "taken again after reuse there": async (threads) => {
      const { body } = await send(threads);
      await reuseThere(threads);
      return describeLook({ look: () => threads.here.allocator.take(body).bytes, write() {} });
    },
  }),
  ...themed<Threads>("what a view reaches in a worker", {
    "live view's .buffer shows a worker's": async ({ here, there }) => {
      await there("gather", [Mark.other, FEW]);
      const { buffer } = here.allocator.acquire().bytes;
      return firstOf([[showsOthers(buffer), "shows a worker's bytes", Harm.othersRead]], "shows nothing of a worker's");
    },
    "live view's .buffer writes a worker's": async (threads) => {
      const { here, there } = threads;
      await there("gather", [Mark.other, FEW]);
      here.deface(here.allocator.acquire().bytes);
      return writtenThere(threads, null);
    },
    "structuredClone of a live view": ({ here }) => {
      const bytes = amongOthers(here);
      const clone = structuredClone(bytes);
      const isShown = showsOthers(clone.buffer);
      clone.fill(Mark.stale);
      const isSame = bytes.includes(Mark.stale);
      return firstOf(
        [
          [isSame && isShown, "is no copy, and shows other owners' bytes", Harm.othersRead],
          [isShown, "copies other owners' bytes", Harm.othersRead],
          [isSame, "is no copy, of its own bytes alone", Harm.ownBytesStay],
        ],
        "copies its own bytes",
      );
    },
    "postMessage of a live view": async ({ here, there }) => {
      const bytes = amongOthers(here);
      await there("deface", [bytes]);
      return firstOf(
        [
          [!here.areAll(Mark.other), "a worker changes other owners' bytes", Harm.othersChanged],
          [!isAll(bytes, Mark.first), "a worker changes its own bytes alone", Harm.bytesLost],
        ],
        "a worker changes nothing",
      );
    },
  }),
  ...themed<Threads>("a worker that dies", {
    "a worker dies with all there is": async ({ here, there, end }) => {
      await there("hoard", []);
      await end();
      const threw = thrownBy(() => here.gather(Mark.first, FEW));
      return firstOf([[threw !== null, "what it held is lost", Harm.bytesLost]], "there is room again");
    },
  }),
];

const looksLike = (view: Uint8Array): Observation => describeLook({ look: () => view, write() {} });

/** Views of many buffers that were released here. A worker has as many since then, and wrote to all. */
async function staleViews({ here, there }: Threads): Promise<Uint8Array[]> {
  here.gather(Mark.first);
  const { views } = here;
  here.release();
  await there("gather", [Mark.other]);
  return views;
}

/** What became of the bytes of `Mark.other` in the worker. */
async function writtenThere({ there }: Threads, threw: string | null): Promise<Observation> {
  const isChanged = !(await there("areAll", [Mark.other]));
  const seen = `${threw === null ? "goes unnoticed" : `throws ${threw}`}, changes nothing of a worker's`;
  return firstOf([[isChanged, "changes a worker's bytes", Harm.othersChanged]], seen);
}

/** A buffer that a worker has taken: the view that its sender kept, and what was posted. */
async function send({ here, there }: Threads): Promise<{ view: Uint8Array; body: unknown }> {
  const held = here.allocator.acquire();
  const view = held.bytes.fill(Mark.first);
  const { body, transfer } = here.allocator.give(held);
  await there("take", [body], transfer);
  return { view, body };
}

/** The worker gives back what it took, and takes many. */
async function reuseThere({ there }: Threads): Promise<void> {
  await there("release", []);
  await there("gather", [Mark.other]);
}

async function takenTwice(threads: Threads): Promise<Observation> {
  const { here, there } = threads;
  const { body } = await send(threads);
  const threw = thrownBy(() => {
    here.take(body);
    here.fill(Mark.first);
  });
  await there("fill", [Mark.other]);
  return firstOf(
    [
      [threw !== null, `throws ${threw}`, Harm.none],
      [!here.areAll(Mark.first), "two owners get one buffer", Harm.othersChanged],
    ],
    "gives two buffers",
  );
}

/** A view of a buffer in the midst of others, all of one thread. */
function amongOthers(here: Threads["here"]): Uint8Array {
  here.gather(Mark.other, FEW);
  const { bytes } = here.allocator.acquire();
  here.gather(Mark.other, FEW);
  return bytes.fill(Mark.first);
}
