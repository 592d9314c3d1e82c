/// <reference types="node" preserve="true" />
/**
 * cleanslab/node: leases for Node's buffers, streams, files and sockets.
 *
 * One rule holds for all of it: whoever gets a lease releases it, and what is
 * given a lease together with "release" in its name does so, whatever happens.
 * Needs `@types/node` for its types, nothing for its work.
 */

export type { CollectOptions } from "../collector.js";
export { LeaseTransform, type LeaseTransformOptions, type PushLease, readableFrom } from "./bridge.js";
export { bufferOf } from "./buffer.js";
export { collect } from "./collect.js";
export { type ReadFileOptions, readFileLeases } from "./file.js";
export { type LeasedReadOptions, readSocketLeases } from "./socket.js";
export { pipeLeases, writeAndRelease } from "./write.js";
