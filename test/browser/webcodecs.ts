/**
 * The recipe for WebCodecs with the browser's own frames and samples: a lease holds what
 * `copyTo` writes into a zeroed array, and whatever fails, no lease stays out.
 */

import type { Arena } from "cleanslab";
import { audioToLease, frameToLease } from "../../examples/recipes/webcodecs.ts";
import { check, checkEqual, checkSound, randomFrom, rejectionOf } from "../contract/check.ts";
import type { ContractCase, Environment, Library } from "../contract/contract.ts";

const FORMATS = ["RGBA", "I420"] as const;
const AUDIO_FORMATS = ["f32-planar", "f32", "s16-planar", "s16"] as const;

/** The colour planes of the second one are rounded up. */
const SIZES = [
  [1280, 720],
  [63, 47],
] as const;

/** For a frame of 62 × 46: each plane begins behind a gap, and each row ends with one. */
const LAYOUTS: Record<(typeof FORMATS)[number], PlaneLayout[]> = {
  RGBA: [{ offset: 100, stride: 300 }],
  I420: [
    { offset: 10, stride: 80 },
    { offset: 5000, stride: 50 },
    { offset: 7000, stride: 40 },
  ],
};

function noise(byteLength: number): Uint8Array<ArrayBuffer> {
  const random = randomFrom(byteLength);
  return Uint8Array.from({ length: byteLength }, () => random(256));
}

function makeFrame(format: (typeof FORMATS)[number], codedWidth: number, codedHeight: number): VideoFrame {
  const pixels = codedWidth * codedHeight;
  const colours = Math.ceil(codedWidth / 2) * Math.ceil(codedHeight / 2);
  const data = noise(format === "RGBA" ? 4 * pixels : pixels + 2 * colours);
  return new VideoFrame(data, { format, codedWidth, codedHeight, timestamp: 0 });
}

function makeAudio(format: AudioSampleFormat): AudioData {
  const [numberOfFrames, numberOfChannels] = [4800, 2];
  const samples = Float32Array.from(noise(numberOfFrames * numberOfChannels), (byte) => byte / 128 - 1);
  const data = format.startsWith("f32") ? samples : Int16Array.from(samples, (sample) => sample * 32767);
  return new AudioData({ format, sampleRate: 48000, numberOfFrames, numberOfChannels, timestamp: 0, data });
}

/** What the recipe would show if it did not overwrite all of a lease. */
function soil(arena: Arena, byteLength: number): void {
  const lease = arena.acquire(byteLength);
  lease.bytes.fill(0xee);
  lease.release();
}

function checkBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  checkEqual(actual.length, expected.length, `the length of ${what}`);
  const differs = expected.findIndex((byte, at) => actual[at] !== byte);
  check(differs < 0, `byte ${differs} of ${what} is ${actual[differs]}, not ${expected[differs]}`);
}

function checkNoneOut(arena: Arena): void {
  checkEqual(arena.stats().liveLeases, 0, "liveLeases");
  checkSound(arena);
}

async function checkFrame(library: Library, frame: VideoFrame, options?: VideoFrameCopyToOptions): Promise<void> {
  const fresh = new Uint8Array(frame.allocationSize(options));
  await frame.copyTo(fresh, options);
  const isBlack = fresh.every((byte) => byte === 0);
  check(!isBlack, "the frame is black");
  for (const revoke of ["before-reuse", "on-release", "never"] as const) {
    using arena = new library.Arena({ revoke });
    soil(arena, fresh.length);
    const lease = await frameToLease(frame, arena, options);
    checkBytes(lease.bytes, fresh, `a lease of ${frame.format} pixels`);
    check(lease.memory !== undefined, "the lease is on the heap");
    lease.release();
    checkNoneOut(arena);
  }
  frame.close();
}

function checkAudio(library: Library, format: AudioSampleFormat, options?: { format: AudioSampleFormat }): void {
  const audio = makeAudio(format);
  const planes = (options?.format ?? format).endsWith("-planar") ? 2 : 1;
  const planeBytes = audio.allocationSize({ ...options, planeIndex: 0 });
  const fresh = new Uint8Array(planes * planeBytes);
  for (let planeIndex = 0; planeIndex < planes; planeIndex++) {
    const plane = new Uint8Array(planeBytes);
    audio.copyTo(plane, { ...options, planeIndex });
    fresh.set(plane, planeIndex * planeBytes);
  }
  const isSilent = fresh.every((byte) => byte === 0);
  check(!isSilent, "the audio is silent");
  using arena = new library.Arena();
  soil(arena, fresh.length);
  const lease = audioToLease(audio, arena, options);
  checkBytes(lease.bytes, fresh, `a lease of ${format} samples`);
  lease.release();
  checkNoneOut(arena);
  audio.close();
}

type Run = (library: Library, environment: Environment) => void | Promise<void>;

/** A case that is skipped where the browser has not all of WebCodecs that it takes. */
function needing(types: "VideoFrame" | "AudioData" | "VideoFrame AudioData", name: string, run: Run): ContractCase {
  return {
    name,
    run(library, environment) {
      for (const type of types.split(" ") as ("VideoFrame" | "AudioData")[]) {
        const isThere = type in globalThis && "copyTo" in globalThis[type].prototype;
        if (!isThere) environment.skip(`this browser has no ${type}.copyTo`);
      }
      return run(library, environment);
    },
  };
}

export const webcodecs: readonly ContractCase[] = [
  ...FORMATS.flatMap((format): ContractCase[] => [
    ...SIZES.map(([width, height]) => {
      const frameName = `${format} frame of ${width} × ${height}`;
      return needing(
        "VideoFrame",
        `a lease holds the pixels of a ${frameName} as a fresh array does`,
        (library, environment) => {
          let frame: VideoFrame;
          try {
            frame = makeFrame(format, width, height);
          } catch (error) {
            return environment.skip(`this browser makes no ${frameName}: ${error}`);
          }
          return checkFrame(library, frame);
        },
      );
    }),
    needing("VideoFrame", `a lease holds a part of a frame in ${format}`, (library) =>
      checkFrame(library, makeFrame(format, 64, 48), { rect: { x: 8, y: 4, width: 32, height: 16 } }),
    ),
    needing("VideoFrame", `the gaps of a layout in ${format} are zero`, (library) =>
      checkFrame(library, makeFrame(format, 62, 46), { layout: LAYOUTS[format] }),
    ),
  ]),
  needing("VideoFrame", "a lease holds a frame of a canvas, converted to RGBA", (library) => {
    const canvas = new OffscreenCanvas(1280, 720);
    const context = canvas.getContext("2d");
    check(context !== null, "no canvas");
    context.fillStyle = "rgb(10 20 30)";
    context.fillRect(0, 0, 1280, 500);
    return checkFrame(library, new VideoFrame(canvas, { timestamp: 0 }), { format: "RGBA" });
  }),
  ...AUDIO_FORMATS.map((format) =>
    needing("AudioData", `a lease holds all planes of ${format} audio as fresh arrays do`, (library) =>
      checkAudio(library, format),
    ),
  ),
  needing("AudioData", "a lease holds audio converted to planar floats", (library) =>
    checkAudio(library, "s16", { format: "f32-planar" }),
  ),
  needing(
    "VideoFrame AudioData",
    "closed frames and closed audio are the browser's error, and nothing is leased",
    async (library) => {
      using arena = new library.Arena();
      const frame = makeFrame("RGBA", 64, 48);
      const audio = makeAudio("f32-planar");
      for (const each of [frame, audio]) each.close();
      for (const copied of [frameToLease(frame, arena), (async () => audioToLease(audio, arena))()]) {
        const error = await rejectionOf(copied);
        check(error instanceof DOMException, `not the browser's error: ${String(error)}`);
        checkEqual(error.name, "InvalidStateError", "name");
      }
      checkNoneOut(arena);
    },
  ),
];
