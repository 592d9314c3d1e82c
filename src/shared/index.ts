/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The public API of cleanslab/shared.
 *
 * @module cleanslab/shared
 */

export type { NumberWriter } from "../bytes/numbers.js";
export type { ByteWriter } from "../bytes/writer.js";
export type { AbortSignalLike } from "../checks.js";
export { ArenaError, type ArenaErrorCode } from "../errors.js";
export type { Lease } from "../lease/lease.js";
export type { Scope } from "../lease/scope.js";
export type { SharedArenaHandle } from "./abi.js";
export {
  SharedArena,
  type SharedArenaOptions,
  type SharedArenaStats,
  type SharedAuditReport,
} from "./arena.js";
export type { SharedPort, SharedPortHandle } from "./port.js";
export type { SharedLease } from "./store.js";
