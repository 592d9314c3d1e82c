/** The public API of cleanslab. */

export type { LinearMemory } from "./abi.js";
export { Arena } from "./arena.js";
export { ArenaError, type ArenaErrorCode } from "./errors.js";
export type {
  ArenaEvents,
  ArenaEventTarget,
  ArenaListener,
  ArenaListenerOptions,
  DirtyEvent,
  ExhaustedEvent,
  LeakEvent,
} from "./events.js";
export type { Lease, LeaseOrigin, Pin, ReleaseOptions, ViewConstructor } from "./lease.js";
export type { ArenaOptions, ExhaustionPolicy, RevokeMode, TraceLevel } from "./options.js";
export type { SizeClassPool } from "./pool.js";
export type { Scope } from "./scope.js";
export type { ArenaStats, AuditReport } from "./stats.js";
export type { TraceSite } from "./trace.js";
export type { AbortSignalLike } from "./waiters.js";
export type { ByteWriter } from "./writer.js";
