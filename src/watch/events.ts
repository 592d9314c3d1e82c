/**
 * The arena's events, typed without the DOM's types. At run time the arena is a
 * real `EventTarget`. Every event is dispatched in a microtask, after the call that
 * caused it; what happened several times until then is one event with a count.
 */

import { countOf } from "../errors.js";
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

/** What Node prints of an event: a line for each site. */
export function textOfEvent(event: ArenaEvents[keyof ArenaEvents]): string {
  switch (event.type) {
    case "leak": {
      const { leases, byteLength, sites } = event;
      if (sites.length > 0) return sites.map(({ summary }) => `leak: ${summary}`).join("\n");
      return `leak: ${countOf(leases)} of ${byteLength} bytes, never released; ${HOW_TO_LEARN} they were acquired`;
    }
    case "stray-write": {
      const { count, byteOffset, sites } = event;
      const what = `stray-write: ${count === 1 ? "1 write" : `${count} writes`} in front of a segment's leases, the last at byte ${byteOffset}`;
      if (sites.length > 0) return sites.map(({ summary }) => `${what}: ${summary}`).join("\n");
      return `${what}; ${HOW_TO_LEARN} its leases were acquired`;
    }
    case "dirty": {
      const { count, byteOffset, acquired, released } = event;
      const what = count === 1 ? "1 block was" : `${count} blocks were`;
      const stacks = `${firstLine("; acquired", acquired)}${firstLine("; released", released)}`;
      return `dirty: ${what} written to after release, the last at byte ${byteOffset} of its memory${stacks}`;
    }
    case "exhausted": {
      const { count, byteLength, reservedBytes } = event;
      const what = `${countOf(count)} found no room under the cap and ${count === 1 ? "is" : "are"} on the heap`;
      return `exhausted: ${what}, the last of ${byteLength} bytes; ${reservedBytes} bytes are reserved`;
    }
  }
}

const HOW_TO_LEARN = 'trace: "sampled" or "all" tells where';

function firstLine(what: string, stack: string | undefined): string {
  return stack ? `${what} at ${stack.split("\n", 1)[0]?.replace(/^\s*(at )?/, "")}` : "";
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
