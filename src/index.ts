/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The public API of cleanslab.
 *
 * @module cleanslab
 */

export { Arena, type LeaseArena, type SizeClassPool } from "./arena.js";
export type { ByteFiller } from "./bytes/filler.js";
export type { NumberWriter } from "./bytes/numbers.js";
export { ByteReader, type BytesLender } from "./bytes/reader.js";
export type { ByteWriter } from "./bytes/writer.js";
export type { AbortSignalLike } from "./checks.js";
export { ArenaError, type ArenaErrorCode } from "./errors.js";
export type { AsyncFillFunction, FillFunction } from "./lease/filled.js";
export type { AnyLease, Lease, ViewConstructor } from "./lease/lease.js";
export type { LeaseOrigin, LinearMemory } from "./lease/owner.js";
export type { Pin } from "./lease/pin.js";
export type { Scope } from "./lease/scope.js";
export type {
  ArenaOptions,
  ArenaTimeline,
  ExhaustionPolicy,
  MemoryMove,
  RevokeMode,
  TraceLevel,
  WaitCounts,
} from "./options.js";
export type {
  ArenaEvents,
  ArenaEventTarget,
  ArenaListener,
  ArenaListenerOptions,
  DirtyEvent,
  ExhaustedEvent,
  LeakEvent,
  StrayWriteEvent,
} from "./watch/events.js";
export type { HeapProfile, HeapProfileNode, ProfileMark } from "./watch/profile.js";
export type { TraceSite } from "./watch/sites.js";
export type { ArenaStats, AuditReport } from "./watch/stats.js";
export { Timeline } from "./watch/timeline.js";
