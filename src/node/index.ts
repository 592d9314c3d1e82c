/// <reference types="node" preserve="true" />
/**
 * cleanslab/node: leases for Node's buffers, streams, files and sockets.
 *
 * One rule holds for all of it: whoever gets a lease releases it, and what is
 * given a lease together with "release" in its name does so, whatever happens.
 * Needs `@types/node` for its types, nothing for its work.
 *
 * @module cleanslab/node
 */

export type { CollectSettings } from "../bytes/collector.js";
export { LeaseTransform, type LeaseTransformOptions, type PushLease, readableFrom } from "./bridge.js";
export { bufferOf } from "./buffer.js";
export type { FreeChunksOption } from "./chunks.js";
export { collect, type NodeCollectOptions as CollectOptions } from "./collect.js";
export { eachFileLease, type FileRange, type ReadFileOptions, readFileLeases, STOP } from "./file.js";
export { type ProfileOptions, type RecordingOptions, recordTimeline, writeProfile } from "./profile.js";
export { type RecordFunction, readRecords } from "./records.js";
export { LeaseSink, type LeaseSinkOptions } from "./sink.js";
export { type BufferedReadOptions, type LeasedReadOptions, readSocket, readSocketLeases } from "./socket.js";
export { serveWatch, type WatchOptions, type WatchServer, type WatchSnapshot } from "./watch.js";
export { type Leases, pipeLeases, writeAndRelease } from "./write.js";
