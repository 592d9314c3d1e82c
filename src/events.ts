/**
 * The arena's events, typed without the DOM's types. At run time the arena is a
 * real `EventTarget`.
 */

import { channels } from "./channels.js";
import type { TraceSite } from "./trace.js";

/**
 * Leases that were never released, found when their memory was collected. Its
 * bytes are back under the cap. In `"never"` mode, where the arena keeps its
 * segments: a lease that was collected, one in so many being watched for it. Its
 * block stays out, because a view of it may still be in use.
 */
export interface LeakEvent {
  readonly type: "leak";
  /** How many leases were never released. */
  readonly leases: number;
  /** Bytes in those leases. */
  readonly byteLength: number;
  /** Where the traced ones among them were acquired, most bytes first. */
  readonly sites: readonly TraceSite[];
}

/** With tracing on: a block was written to after its release. It was wiped before anyone got it. */
export interface DirtyEvent {
  readonly type: "dirty";
  /** Bytes from the start of the memory to the first byte found changed. */
  readonly byteOffset: number;
  /** The stack of the `acquire` of the lease that had this byte last, if it was traced … */
  readonly acquired: string | undefined;
  /** … and of its release. */
  readonly released: string | undefined;
}

/** A lease found no room under the cap, and became a heap buffer. */
export interface ExhaustedEvent {
  readonly type: "exhausted";
  /** Bytes that were asked for. */
  readonly byteLength: number;
  /** Bytes of linear memory reserved at that moment. */
  readonly reservedBytes: number;
}

export interface ArenaEvents {
  leak: LeakEvent;
  dirty: DirtyEvent;
  exhausted: ExhaustedEvent;
}

export interface ArenaListenerOptions {
  once?: boolean;
}

export type ArenaListener<K extends keyof ArenaEvents> =
  | ((event: ArenaEvents[K]) => void)
  | { handleEvent(event: ArenaEvents[K]): void };

/** The part of `EventTarget` that an arena has, with its own events. */
export interface ArenaEventTarget {
  addEventListener<K extends keyof ArenaEvents>(
    type: K,
    listener: ArenaListener<K> | null,
    options?: ArenaListenerOptions | boolean,
  ): void;
  removeEventListener<K extends keyof ArenaEvents>(
    type: K,
    listener: ArenaListener<K> | null,
    options?: ArenaListenerOptions | boolean,
  ): void;
}

export const ArenaEventTarget = EventTarget as unknown as new () => ArenaEventTarget;

/** Tells `target`'s listeners, and the channel of the event's name. A listener that throws is reported by the platform; nothing here is undone. */
export function dispatch<K extends keyof ArenaEvents>(
  target: ArenaEventTarget,
  type: K,
  details: Omit<ArenaEvents[K], "type">,
): void {
  (target as unknown as EventTarget).dispatchEvent(Object.assign(new Event(type), details));
  if (channels[type].hasSubscribers) channels[type].publish({ arena: target, ...details });
}
