/**
 * cleanslab/web: leases for streams, bodies, blobs and files of the web platform,
 * in browsers and wherever else these are.
 *
 * What it takes is typed here by the few members it uses, not by the DOM's types:
 * so it compiles in programs without them, takes those of Node, Bun and Deno as
 * well, and pulls nothing into a program that has no `window`. What it gives are
 * leases and arrays.
 *
 * Browsers copy what they are given (`new Response(lease.bytes)`, `new Blob`,
 * `fetch`, `crypto.subtle`): release once the call has returned. A stream of leases
 * is therefore read, never made, here.
 *
 * @module cleanslab/web
 */

export type { CollectOptions, CollectSettings } from "../bytes/collector.js";
export { type AccessHandleLike, readAccessHandle, writeAccessHandle } from "./opfs.js";
export { type Owned, ownedCopy } from "./owned.js";
export type { BlobLike, BodyLike, StreamLike, StreamReaderLike } from "./source.js";
export { collect, readLeases } from "./stream.js";
export { type WriterLike, writeAndRelease } from "./write.js";
