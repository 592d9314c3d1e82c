/**
 * Frames that a page makes and a worker consumes, through a channel of shared memory: both ends,
 * and what became of the frames. Runs inside the browser.
 */

import type { SharedArenaHandle, SharedPortHandle } from "cleanslab/shared";
import * as library from "cleanslab/shared";
import { checkEqual, checkSame } from "../contract/check.ts";
import { type CaseResult, type ContractCase, runContract } from "../contract/contract.ts";
import type { SharedLibrary } from "../contract/shared.ts";

const [WIDTH, HEIGHT] = [640, 480];
/** RGBA. */
const FRAME_BYTES = 4 * WIDTH * HEIGHT;
/** Frames that may be on their way. */
const WINDOW = 4;
/** Pictures that come again and again. */
const PICTURES = 8;
/** More than there are pictures, and than fit on the way. */
const FRAMES = 100;
const [GROUND, STRIPE] = [0xff1a1614, 0xffffa06e];

const SOURCES = ["drawn", "VideoFrame.copyTo"] as const;
type SourceName = (typeof SOURCES)[number];

/** What the consumer found: frames, and those that were not the next one, or not whole. */
interface Outcome {
  received: number;
  wrong: number;
}

/** Writes frame `number`. */
type Write = (bytes: Uint8Array, number: number) => unknown;

const wordsOf = ({ buffer, byteOffset }: Uint8Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, WIDTH * HEIGHT);
/** First word of the stripe in a picture. The first word of a frame is its number, in the place of a pixel. */
const stripeAt = (number: number): number => (number % PICTURES) * 40 * WIDTH + WIDTH;
const STRIPE_WORDS = 20 * WIDTH;

function paint(bytes: Uint8Array, number: number): void {
  const at = stripeAt(number);
  wordsOf(bytes)
    .fill(GROUND)
    .fill(STRIPE, at, at + STRIPE_WORDS);
}

function open(source: SourceName): { write: Write; close(): void } {
  if (source === "drawn") return { write: paint, close() {} };
  const pictures = Array.from({ length: PICTURES }, (_, number) => {
    const bytes = new Uint8Array(FRAME_BYTES);
    paint(bytes, number);
    return new VideoFrame(bytes, { format: "RGBA", codedWidth: WIDTH, codedHeight: HEIGHT, timestamp: number });
  });
  return {
    write: (bytes, number) => pictures[number % PICTURES]?.copyTo(bytes),
    close() {
      for (const picture of pictures) picture.close();
    },
  };
}

/** Looks at every word of a frame. */
function consume(outcome: Outcome, bytes: Uint8Array): void {
  const words = wordsOf(bytes);
  const number = outcome.received++;
  const at = stripeAt(number);
  let isWhole = words[0] === number;
  for (let each = 1; each < words.length; each++) {
    isWhole &&= words[each] === (each >= at && each < at + STRIPE_WORDS ? STRIPE : GROUND);
  }
  if (!isWhole) outcome.wrong++;
}

interface Start {
  readonly handle: SharedArenaHandle;
  readonly port: SharedPortHandle;
}

/** `url` is the module whose worker calls `receiveFrames`. */
async function sendFrames(source: SourceName, url: URL): Promise<Outcome> {
  const { write, close } = open(source);
  const arena = new library.SharedArena({ maxBytes: 16 * 2 ** 20 });
  const { port1, port2: port } = arena.channel({ capacity: WINDOW });
  const worker = new Worker(url, { type: "module", name: WORKER_NAME });
  const outcome = new Promise<Outcome>((resolve, reject) => {
    worker.onerror = ({ message }) => reject(new Error(`the worker failed: ${message}`));
    worker.onmessage = ({ data }: MessageEvent<Outcome>) => resolve(data);
  });
  worker.postMessage({ handle: arena.handle, port } satisfies Start);
  const send = async (): Promise<Outcome> => {
    for (let number = 0; number < FRAMES; number++) {
      const lease = await arena.acquireFilled(FRAME_BYTES, async (bytes) => {
        await write(bytes, number);
        wordsOf(bytes)[0] = number;
        return bytes.length;
      });
      await port1.send(lease);
    }
    port1.close();
    return outcome;
  };
  try {
    // A worker that has failed receives nothing.
    const found = await Promise.race([send(), outcome]);
    const { liveLeases, blocks } = arena.stats();
    checkSame([liveLeases, blocks.leased, blocks.inTransit], [0, 0, 0], "leases out here, out and in transit anywhere");
    checkSame(arena.audit().problems, [], "the audit");
    arena.detach();
    return found;
  } finally {
    worker.terminate();
    close();
  }
}

export const WORKER_NAME = "frames";

/** In the worker. */
export function receiveFrames(): void {
  self.onmessage = async ({ data: { handle, port } }: MessageEvent<Start>) => {
    const outcome: Outcome = { received: 0, wrong: 0 };
    const arena = library.SharedArena.attach(handle);
    for await (const lease of arena.open(port)) {
      consume(outcome, lease.bytes);
      lease.release();
    }
    arena.detach();
    self.postMessage(outcome);
  };
}

/** What comes is whole and in order, and nothing stays out. */
export function runPipelines(url: URL): Promise<CaseResult[]> {
  const cases = SOURCES.map(
    (source): ContractCase<SharedLibrary> => ({
      name: `frames go to a worker whole and in order, and nothing stays out: ${source}`,
      async run(_library, { skip }) {
        if (source !== "drawn") {
          if (!("VideoFrame" in globalThis)) skip("this browser has no VideoFrame");
          const refusal = await copyToShared();
          if (refusal !== undefined) skip(`VideoFrame.copyTo refuses shared memory: ${refusal}`);
        }
        const { received, wrong } = await sendFrames(source, url);
        checkEqual(received, FRAMES, "frames received");
        checkEqual(wrong, 0, "frames that were wrong");
      },
    }),
  );
  return runContract(library, cases);
}

/** Why the browser does not copy a frame into shared memory. */
async function copyToShared(): Promise<string | undefined> {
  const { write, close } = open("VideoFrame.copyTo");
  try {
    await write(new Uint8Array(new SharedArrayBuffer(FRAME_BYTES)), 0);
    return undefined;
  } catch (error) {
    return String(error);
  } finally {
    close();
  }
}
