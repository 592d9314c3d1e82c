/**
 * What an arena tells others: events, channels, and those who wait. Owns one queue,
 * drained in a microtask, so that nothing of the caller's runs while the arena works.
 *
 * N1  At most one notice of a kind is pending. Those that come until it is sent are
 *     merged into it.
 */

import { inMicrotask } from "../builtins.js";
import { channels } from "./channels.js";
import type { ArenaEvents, ArenaEventTarget } from "./events.js";
import { Sites } from "./sites.js";

type Details<K extends keyof ArenaEvents> = Omit<ArenaEvents[K], "type">;

/** Of the channels that have no event: leases or memories since the last message, and bytes in them together. */
interface Tally {
  count: number;
  byteLength: number;
}

export class Notices {
  readonly #arena: ArenaEventTarget;
  /** Serves those who wait. */
  readonly #serve: () => void;
  readonly #events = new Map<keyof ArenaEvents, object>();
  readonly #tallies = new Map<"acquire" | "release" | "revoke", Tally>();
  /** Leaks that are not sent yet, added up by call site. */
  #leaks: { leases: number; byteLength: number; readonly sites: Sites } | undefined;
  #isScheduled = false;
  #isClosed = false;

  constructor(arena: ArenaEventTarget, serve: () => void) {
    this.#arena = arena;
    this.#serve = serve;
  }

  /** Those who wait are served soon. */
  wake(): void {
    if (this.#isScheduled || this.#isClosed) return;
    inMicrotask(() => this.#drain());
    // After: an overflow in between must not leave it set with nothing scheduled.
    this.#isScheduled = true;
  }

  leak({ leases, byteLength, sites }: Details<"leak">): void {
    if (this.#isClosed) return;
    this.#leaks ??= { leases: 0, byteLength: 0, sites: new Sites() };
    this.#leaks.leases += leases;
    this.#leaks.byteLength += byteLength;
    for (const site of sites) this.#leaks.sites.add(site.stack, site.leases, site.byteLength);
    this.wake();
  }

  counted<K extends "dirty" | "stray-write" | "exhausted">(type: K, details: Omit<Details<K>, "count">): void {
    const pending = this.#events.get(type) as { count: number } | undefined;
    this.#put(type, { count: (pending?.count ?? 0) + 1, ...details });
  }

  tally(name: "acquire" | "release" | "revoke", byteLength: number): void {
    if (!channels[name].hasSubscribers) return;
    const pending = this.#tallies.get(name);
    this.#tallies.set(name, {
      count: (pending?.count ?? 0) + 1,
      byteLength: (pending?.byteLength ?? 0) + byteLength,
    });
    this.wake();
  }

  /** Nothing more is sent. */
  close(): void {
    this.#isClosed = true;
    this.#events.clear();
    this.#tallies.clear();
    this.#leaks = undefined;
  }

  #put(type: keyof ArenaEvents, details: object): void {
    if (this.#isClosed) return;
    this.#events.set(type, details);
    this.wake();
  }

  #drain(): void {
    // Leases that serving takes and gives back must not schedule it again.
    try {
      this.#serve();
    } finally {
      this.#isScheduled = false;
    }
    const leaks = this.#leaks;
    if (leaks !== undefined) this.#events.set("leak", { ...leaks, sites: leaks.sites.list() });
    this.#leaks = undefined;
    const tallies = [...this.#tallies];
    const events = [...this.#events];
    this.#tallies.clear();
    this.#events.clear();
    for (const [name, tally] of tallies) channels[name].publish({ arena: this.#arena, ...tally });
    for (const [type, details] of events) {
      if (this.#isClosed) return;
      // A listener that throws is reported by the platform, and does not stop the rest.
      (this.#arena as unknown as EventTarget).dispatchEvent(Object.assign(new Event(type), details));
      if (channels[type].hasSubscribers) channels[type].publish({ arena: this.#arena, ...details });
    }
  }
}
