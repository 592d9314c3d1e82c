/**
 * The arena's events, typed without the DOM's types. At run time the arena is a
 * real `EventTarget`.
 */

import type { TraceSite } from "./trace.js";

/** Memory was collected with leases never released. Its bytes are back under the cap. */
export interface LeakEvent {
  readonly type: "leak";
  /** How many leases were never released. */
  readonly leases: number;
  /** Bytes in those leases. */
  readonly byteLength: number;
  /** Where the traced ones among them were acquired. */
  readonly sites: readonly TraceSite[];
}

/** With tracing on: a block was written to after its release. It was wiped before anyone got it. */
export interface DirtyEvent {
  readonly type: "dirty";
  /** Bytes from the start of the memory to the first byte found changed. */
  readonly byteOffset: number;
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

/** Tells `target`'s listeners. A listener that throws is reported by the platform; nothing here is undone. */
export function dispatch<K extends keyof ArenaEvents>(
  target: ArenaEventTarget,
  type: K,
  details: Omit<ArenaEvents[K], "type">,
): void {
  (target as unknown as EventTarget).dispatchEvent(Object.assign(new Event(type), details));
}
