/**
 * Frames that a page makes and a worker consumes, in several ways: both ends of each, and
 * what became of the frames. Runs inside the browser; knows no figures but its own clock's.
 */

import type { SharedArenaHandle, SharedPortHandle } from "cleanslab/shared";
import * as library from "cleanslab/shared";
import { check, checkEqual, checkSame } from "../contract/check.ts";
import { type CaseResult, type ContractCase, runContract } from "../contract/contract.ts";
import type { SharedLibrary } from "../contract/shared.ts";

const [WIDTH, HEIGHT] = [640, 480];
/** RGBA. */
const FRAME_BYTES = 4 * WIDTH * HEIGHT;
/** Frames that may be on their way, in all ways. */
const WINDOW = 4;
/** Pictures that come again and again. */
const PICTURES = 8;
const [GROUND, STRIPE] = [0xff1a1614, 0xffffa06e];
/** At the front of each frame, in the place of pixels: when it was made, in milliseconds, and its number. */
const [MADE, NUMBER, HEADER_WORDS] = [0, 2, 4];

export type WayName = "channel" | "transfer, fresh" | "transfer, sent back" | "page alone";
export type SourceName = "drawn" | "VideoFrame.copyTo";
export const WAY_NAMES: readonly WayName[] = ["channel", "transfer, fresh", "transfer, sent back", "page alone"];
export const SOURCE_NAMES: readonly SourceName[] = ["drawn", "VideoFrame.copyTo"];

export interface Run {
  readonly way: WayName;
  readonly source: SourceName;
  readonly frames: number;
  /** Frames a second; as fast as it goes without it. */
  readonly pace?: number;
}

/** What the consumer found. */
export interface Outcome {
  received: number;
  /** Frames that were not the next one, or not whole. */
  wrong: number;
  /** From when each was made until it was consumed. */
  readonly milliseconds: number[];
  /** From the first frame to the last, in the page. */
  seconds: number;
}

/** Writes frame `number`. */
type Write = (bytes: Uint8Array, number: number) => unknown;
type Next = (write: (bytes: Uint8Array) => Promise<number>) => Promise<void>;

/** The same, as near as can be, in all threads. */
const now = (): number => performance.timeOrigin + performance.now();
const wordsOf = ({ buffer, byteOffset }: Uint8Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, WIDTH * HEIGHT);
/** First word of the stripe in a picture. */
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
  let isWhole = words[NUMBER] === number;
  for (let each = HEADER_WORDS; each < words.length; each++) {
    isWhole &&= words[each] === (each >= at && each < at + STRIPE_WORDS ? STRIPE : GROUND);
  }
  if (!isWhole) outcome.wrong++;
  outcome.milliseconds.push(now() - (new Float64Array(bytes.buffer, bytes.byteOffset + 4 * MADE, 1)[0] as number));
}

const nothing = (): Outcome => ({ received: 0, wrong: 0, milliseconds: [], seconds: 0 });

interface Start {
  readonly way: WayName;
  readonly frames: number;
  readonly handle: SharedArenaHandle;
  readonly port: SharedPortHandle;
}

/** What comes from the worker: buffers or how many frames it is done with, and at the end what it found. */
interface Back {
  readonly done: number;
  readonly buffers: ArrayBuffer[];
  readonly outcome?: Outcome;
}

/** A worker that is ready to receive. */
async function startWorker(url: URL, start: Partial<Start>, back: (message: Back) => void = () => {}) {
  const worker = new Worker(url, { type: "module", name: WORKER_NAME });
  let isReady = (): void => {};
  const ready = new Promise<void>((resolve) => {
    isReady = resolve;
  });
  const outcome = new Promise<Outcome>((resolve, reject) => {
    worker.onerror = ({ message }) => reject(new Error(`the worker failed: ${message}`));
    worker.onmessage = ({ data }: MessageEvent<Back>) => {
      isReady();
      back(data);
      if (data.outcome !== undefined) resolve(data.outcome);
    };
  });
  worker.postMessage(start);
  await Promise.race([ready, outcome]);
  return { worker, outcome };
}

/** Runs one way in this page. `url` is the module whose worker calls `receiveFrames`. */
export async function runWay({ way, source, frames, pace }: Run, url: URL): Promise<Outcome> {
  const { write, close } = open(source);
  let start = 0;
  const send = async (next: Next): Promise<void> => {
    start = now();
    for (let number = 0; number < frames; number++) {
      if (pace !== undefined) await until(start + (1000 * number) / pace);
      await next(async (bytes) => {
        await write(bytes, number);
        wordsOf(bytes)[NUMBER] = number;
        new Float64Array(bytes.buffer, bytes.byteOffset + 4 * MADE, 1)[0] = now();
        return bytes.length;
      });
    }
  };
  try {
    const outcome = await WAYS[way](send, frames, url, way);
    return { ...outcome, seconds: (now() - start) / 1000 };
  } finally {
    close();
  }
}

type Send = (next: Next) => Promise<void>;
const WAYS: Record<WayName, (send: Send, frames: number, url: URL, way: WayName) => Promise<Outcome>> = {
  async "page alone"(send) {
    const outcome = nothing();
    const bytes = new Uint8Array(FRAME_BYTES);
    await send(async (write) => {
      await write(bytes);
      consume(outcome, bytes);
    });
    return outcome;
  },

  async channel(send, frames, url, way) {
    const arena = new library.SharedArena({ maxBytes: 16 * 2 ** 20 });
    const { port1, port2 } = arena.channel({ capacity: WINDOW });
    const { worker, outcome } = await startWorker(url, { way, frames, handle: arena.handle, port: port2 });
    await send(async (write) => port1.send(await arena.acquireFilled(FRAME_BYTES, write)));
    port1.close();
    const found = await outcome;
    worker.terminate();
    checkNoneOut(arena);
    arena.detach();
    return found;
  },

  "transfer, fresh": (...run) => post(...run),
  "transfer, sent back": (...run) => post(...run),
};

function checkNoneOut(arena: library.SharedArena): void {
  const { liveLeases, blocks } = arena.stats();
  checkSame([liveLeases, blocks.leased, blocks.inTransit], [0, 0, 0], "leases out here, out and in transit anywhere");
  checkSame(arena.audit().problems, [], "the audit");
}

/** Buffers by `postMessage`, fresh ones if none came back. */
async function post(send: Send, frames: number, url: URL, way: WayName): Promise<Outcome> {
  const free: ArrayBuffer[] = [];
  let onTheirWay = 0;
  let wake = (): void => {};
  const { worker, outcome } = await startWorker(url, { way, frames }, ({ done, buffers }) => {
    onTheirWay -= done;
    free.push(...buffers);
    wake();
  });
  await send(async (write) => {
    const bytes = new Uint8Array(free.pop() ?? new ArrayBuffer(FRAME_BYTES));
    await write(bytes);
    // As the channel: the frame is there, and waits until half of the window is free.
    if (onTheirWay === WINDOW) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    onTheirWay++;
    worker.postMessage(bytes, [bytes.buffer]);
  });
  const found = await outcome;
  worker.terminate();
  return found;
}

function until(time: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, time - now()));
}

export const WORKER_NAME = "frames";

/** In the worker. */
export function receiveFrames(): void {
  self.onmessage = async ({ data: { way, frames, handle, port } }: MessageEvent<Start>) => {
    const outcome = nothing();
    const back = (message: Back): void => self.postMessage(message, { transfer: message.buffers });
    const isReady = (): void => back({ done: 0, buffers: [] });
    if (way === "channel") {
      const arena = library.SharedArena.attach(handle);
      const end = arena.open(port);
      isReady();
      for await (const lease of end) {
        consume(outcome, lease.bytes);
        lease.release();
      }
      arena.detach();
      back({ done: 0, buffers: [], outcome });
      return;
    }
    let buffers: ArrayBuffer[] = [];
    let done = 0;
    self.onmessage = ({ data: bytes }: MessageEvent<Uint8Array<ArrayBuffer>>) => {
      consume(outcome, bytes);
      if (way === "transfer, sent back") buffers.push(bytes.buffer);
      const isLast = outcome.received === frames;
      if (++done < WINDOW / 2 && !isLast) return;
      back({ done, buffers, ...(isLast && { outcome }) });
      buffers = [];
      done = 0;
    };
    isReady();
  };
}

/** More than there are pictures, and than fit on the way. */
const FRAMES = 100;

/** Every way, as the measurement runs it: what comes is whole and in order, and nothing stays out. */
export function runPipelines(url: URL): Promise<CaseResult[]> {
  const cases = SOURCE_NAMES.flatMap((source) =>
    WAY_NAMES.map((way): ContractCase<SharedLibrary> => {
      const name = `frames go to a worker whole and in order, and nothing stays out: ${source}, ${way}`;
      return {
        name,
        async run(_library, { skip }) {
          if (source !== "drawn") {
            if (!("VideoFrame" in globalThis)) skip("this browser has no VideoFrame");
            const refusal = await copyToShared();
            if (refusal !== undefined) skip(`VideoFrame.copyTo refuses shared memory: ${refusal}`);
          }
          const { received, wrong, milliseconds } = await runWay({ way, source, frames: FRAMES }, url);
          checkEqual(received, FRAMES, "frames received");
          checkEqual(wrong, 0, "frames that were wrong");
          check(
            milliseconds.every((each) => each > -1 && each < 60_000),
            "a frame took less than no time, or a minute",
          );
        },
      };
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
