/**
 * The program whose buffers are compared: opens, reads and digests every file,
 * many at once. Owns what happens to a file, and the times of getting and giving
 * back its buffer. Every contender runs this same code; none is named in it.
 */

import { createHash } from "node:crypto";
import { constants as fsConstants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { getHeapStatistics } from "node:v8";
import type { BufferSource } from "./buffers.ts";
import { type FileList, systemErrorCode } from "./files.ts";

export const MAX_FILES_IN_FLIGHT = 64;
/** Fewer files than that while their buffers together are longer, whoever the contender: machines have limits. */
export const MAX_BYTES_IN_FLIGHT = 512 * 1024 * 1024;
export const DIGEST_BYTES = 32;

/** A link put in a file's place since the search is not followed either. */
const OPEN_FLAGS = fsConstants.O_RDONLY | (fsConstants.O_NOFOLLOW ?? 0);

export interface PassTask {
  readonly folder: string;
  readonly files: FileList;
  /** No file is begun later than this after the start. */
  readonly deadlineMs: number;
}

export class Pass {
  readonly digests: Uint8Array;
  readonly faults = new Map<number, string>();
  /** By index into the files; NaN where no buffer was needed, because the file could not be opened. */
  readonly acquireMs: Float64Array;
  readonly releaseMs: Float64Array;
  filesBegun = 0;
  /** Of what was seen after each acquire. */
  peakExternalBytes = 0;
  readonly #task: PassTask;
  readonly #source: BufferSource;
  readonly #onProgress: (filesDone: number) => void;
  #filesDone = 0;
  #filesInFlight = 0;
  #bytesInFlight = 0;

  constructor(task: PassTask, source: BufferSource, onProgress: (filesDone: number) => void) {
    const fileCount = task.files.paths.length;
    this.digests = new Uint8Array(fileCount * DIGEST_BYTES);
    this.acquireMs = new Float64Array(fileCount).fill(Number.NaN);
    this.releaseMs = new Float64Array(fileCount).fill(Number.NaN);
    this.#task = task;
    this.#source = source;
    this.#onProgress = onProgress;
  }

  run(): Promise<void> {
    const { files, deadlineMs } = this.#task;
    const endMs = performance.now() + deadlineMs;
    return new Promise((resolve, reject) => {
      const beginMore = (): void => {
        while (this.filesBegun < files.paths.length && performance.now() < endMs && this.#hasRoom()) {
          const index = this.filesBegun++;
          this.#enter(index);
          this.#digestFile(index).then(() => {
            this.#leave(index);
            beginMore();
          }, reject);
        }
        if (this.#filesInFlight === 0) resolve();
      };
      beginMore();
    });
  }

  #hasRoom(): boolean {
    const nextBytes = this.#task.files.byteLengths[this.filesBegun] as number;
    if (this.#filesInFlight === 0) return true;
    return this.#filesInFlight < MAX_FILES_IN_FLIGHT && this.#bytesInFlight + nextBytes <= MAX_BYTES_IN_FLIGHT;
  }

  #enter(index: number): void {
    this.#filesInFlight++;
    this.#bytesInFlight += this.#task.files.byteLengths[index] as number;
  }

  #leave(index: number): void {
    this.#filesInFlight--;
    this.#bytesInFlight -= this.#task.files.byteLengths[index] as number;
    this.#onProgress(++this.#filesDone);
  }

  /** What goes wrong with a file is noted; what goes wrong with a buffer ends the pass. */
  async #digestFile(index: number): Promise<void> {
    const { folder, files } = this.#task;
    let handle: FileHandle | undefined;
    try {
      handle = await open(join(folder, files.paths[index] as string), OPEN_FLAGS);
      await this.#readAndDigest(index, handle);
      await this.#noteIfChanged(index, handle);
    } catch (error) {
      this.#fault(index, systemErrorCode(error));
    } finally {
      await handle?.close();
    }
  }

  async #readAndDigest(index: number, handle: FileHandle): Promise<void> {
    const byteLength = this.#task.files.byteLengths[index] as number;
    const acquiring = performance.now();
    const held = await this.#source.fill(byteLength, (bytes) => {
      this.acquireMs[index] = performance.now() - acquiring;
      this.#sampleExternal();
      return readFull(handle, bytes);
    });
    try {
      const digest = createHash("sha256").update(held.bytes).digest();
      this.digests.set(digest, index * DIGEST_BYTES);
    } finally {
      const releasing = performance.now();
      held.release();
      this.releaseMs[index] = performance.now() - releasing;
    }
  }

  /** Such a file has another digest in another pass, and no contender is to blame. */
  async #noteIfChanged(index: number, handle: FileHandle): Promise<void> {
    const { files } = this.#task;
    const { size, ctimeMs } = await handle.stat();
    if (size !== files.byteLengths[index] || ctimeMs !== files.changeTimesMs[index]) this.#fault(index, "changed");
  }

  #fault(index: number, how: string): void {
    this.faults.set(index, how);
    this.digests.fill(0, index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES);
  }

  #sampleExternal(): void {
    // The figure of process.memoryUsage().external, without its walk through /proc.
    const { external_memory: externalBytes } = getHeapStatistics();
    if (externalBytes > this.peakExternalBytes) this.peakExternalBytes = externalBytes;
  }
}

/** Until the buffer is full or the file ends, which it may do early if it was cut since. Answers the bytes read. */
async function readFull(handle: FileHandle, bytes: Uint8Array): Promise<number> {
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}
