/**
 * The arena's events, typed without the DOM's types. At run time the arena is a
 * real `EventTarget`. Every event is dispatched in a microtask, after the call that
 * caused it; what happened several times until then is one event with a count. Raised in
 * lender.ts, sent by notices.ts, and on channels by channels.ts.
 */

import type { TraceSite } from "./sites.js";

/**
 * Leases that were never released, found when their memory was collected. Its
 * bytes are back under the cap. In `"never"` mode, where the arena keeps its
 * segments: a traced lease that was collected, or one of every 1024 with tracing off. Its
 * block stays out, because a view of it may still be in use.
 */
export interface LeakEvent {
  readonly type: "leak";
  /** How many leases were never released. */
  readonly leases: number;
  /** Bytes in those leases. */
  readonly byteLength: number;
  /** Where the traced ones among them were acquired, most bytes first; with `trace: "sampled"` estimates for all. */
  readonly sites: readonly TraceSite[];
}

/** With `trace: "all"`: a block was written to after its release. It was zeroed before anyone got it. */
export interface DirtyEvent {
  readonly type: "dirty";
  /** How many such finds since the last event. The rest is of the last one. */
  readonly count: number;
  /** Bytes from the start of the memory to the first byte found changed. */
  readonly byteOffset: number;
  /** The stack of the `acquire` of the lease that had this byte last, of the 4096 traced leases that ended last … */
  readonly acquired: string | undefined;
  /** … and of its release. */
  readonly released: string | undefined;
}

/**
 * Other code wrote in front of every lease of a segment: it took `lease.bytes.buffer`
 * and ignored `byteOffset`. What else it wrote belongs to other leases.
 */
export interface StrayWriteEvent {
  readonly type: "stray-write";
  /** How many such finds since the last event. The rest is of the last one. */
  readonly count: number;
  /** Bytes from the start of the memory to the first byte found changed. */
  readonly byteOffset: number;
  /** With tracing on: where the leases of that segment were acquired, those released last included. */
  readonly sites: readonly TraceSite[];
}

/** A lease found no room under the cap, and became a heap buffer. */
export interface ExhaustedEvent {
  readonly type: "exhausted";
  /** How many leases did, since the last event. The rest is of the last one. */
  readonly count: number;
  /** Bytes that were asked for. */
  readonly byteLength: number;
  /** Bytes of linear memory reserved at that moment. */
  readonly reservedBytes: number;
}

export interface ArenaEvents {
  leak: LeakEvent;
  dirty: DirtyEvent;
  "stray-write": StrayWriteEvent;
  exhausted: ExhaustedEvent;
}

/** What Node prints of an event: a line for each site, or one of all that the event has. */
export function textOfEvent(type: keyof ArenaEvents, details: object): string {
  const facts: string[] = [];
  for (const [name, value] of Object.entries(details)) {
    if (name === "sites" && value.length > 0)
      return value.map(({ summary }: TraceSite) => `${type}: ${summary}`).join("\n");
    if (name === "sites") facts.push("set trace: 'sampled' to see where each was acquired");
    else if (value !== undefined) facts.push(`${name} ${String(value).split("\n", 1)[0]?.trim()}`);
  }
  return `${type}: ${facts.join(", ")}`;
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
