/** WebCodecs: video frames and audio samples are copied into leases. Nobody sees a lease before its copy is complete. */

import type { Arena, Lease } from "cleanslab";

/**
 * The pixels of `frame`, which stays yours to close. As `copyTo` lays them out: planes
 * one behind the other, without gaps, unless `options.layout` says otherwise.
 */
export async function frameToLease(frame: VideoFrame, arena: Arena, options?: VideoFrameCopyToOptions): Promise<Lease> {
  const byteLength = frame.allocationSize(options);
  // The browser may still write until `copyTo` settles: the lease is neither shown nor released before.
  return arena.acquireFilled(byteLength, async (bytes) => {
    // A layout may have gaps, which `copyTo` leaves as they are.
    if (options?.layout !== undefined) bytes.fill(0);
    await frame.copyTo(bytes, options);
    return byteLength;
  });
}

/** The samples of `audio`, which stays yours to close: all its planes, one behind the other. */
export function audioToLease(audio: AudioData, arena: Arena, options: { format?: AudioSampleFormat } = {}): Lease {
  const format = options.format ?? audio.format;
  const planes = format?.endsWith("-planar") ? audio.numberOfChannels : 1;
  const planeBytes = audio.allocationSize({ ...options, planeIndex: 0 });
  return arena.acquireFilled(planes * planeBytes, (bytes) => {
    for (let planeIndex = 0; planeIndex < planes; planeIndex++) {
      audio.copyTo(bytes.subarray(planeIndex * planeBytes), { ...options, planeIndex });
    }
    return planes * planeBytes;
  });
}
