/**
 * What an arena tells others: events, channels, and those who wait. Owns one queue,
 * drained in a microtask, so that nothing of the caller's runs while the arena works.
 *
 * N1  At most one notice of a kind is pending. Those that come until it is sent are
 *     merged into it.
 */

import { inMicrotask } from "../builtins.js";
import { type Lease, watchLease } from "../lease/lease.js";
import { channels } from "./channels.js";
import type { ArenaEvents, ArenaEventTarget } from "./events.js";
import type { TraceSite } from "./sites.js";
import type { Trace } from "./trace.js";

/** Node prints nothing of an event but what every event has. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

type Details<K extends keyof ArenaEvents> = Omit<ArenaEvents[K], "type">;
type Counted = "dirty" | "stray-write" | "exhausted";

/** Of the channels that have no event: leases or memories since the last message, and bytes in them together. */
interface Tally {
  count: number;
  byteLength: number;
}

export class Notices {
  readonly #arena: ArenaEventTarget;
  /** Serves those who wait. */
  readonly #serve: () => void;
  readonly #events = new Map<Counted, { count: number; details: () => object }>();
  readonly #tallies = new Map<"acquire" | "release" | "revoke", Tally>();
  /** What became of traced leases that leaked, by call site: asked when the event is sent. */
  readonly #sitesOf: (leaked: readonly Trace[]) => readonly TraceSite[];
  /** Leaks that are not sent yet. */
  #leaks: { leases: number; byteLength: number; readonly traces: Trace[] } | undefined;
  #isScheduled = false;
  #isClosed = false;

  constructor(arena: ArenaEventTarget, serve: () => void, sitesOf: (leaked: readonly Trace[]) => readonly TraceSite[]) {
    this.#arena = arena;
    this.#serve = serve;
    this.#sitesOf = sitesOf;
  }

  /** Those who wait are served soon. */
  wake(): void {
    if (this.#isScheduled || this.#isClosed) return;
    inMicrotask(() => this.#drain());
    // After: an overflow in between must not leave it set with nothing scheduled.
    this.#isScheduled = true;
  }

  /** @param traces of those leases among them that are traced. */
  leak(leases: number, byteLength: number, traces: readonly Trace[]): void {
    if (this.#isClosed) return;
    this.#leaks ??= { leases: 0, byteLength: 0, traces: [] };
    this.#leaks.leases += leases;
    this.#leaks.byteLength += byteLength;
    for (const trace of traces) this.#leaks.traces.push(trace);
    this.wake();
  }

  /** @param details asked for when the event is sent: reading stacks runs the caller's code. */
  counted<K extends Counted>(type: K, details: () => Omit<Details<K>, "count">): void {
    if (this.#isClosed) return;
    this.#events.set(type, { count: (this.#events.get(type)?.count ?? 0) + 1, details });
    this.wake();
  }

  /** For the channels: `lease` was acquired now, and will end. */
  announce(lease: Lease): void {
    this.tally("acquire", lease.byteLength);
    watchLease(lease, () => ({
      history: "",
      resized() {},
      pinned() {},
      ended: () => this.tally("release", lease.byteLength),
    }));
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

  #drain(): void {
    // Leases that serving takes and gives back must not schedule it again.
    try {
      this.#serve();
    } finally {
      this.#isScheduled = false;
    }
    const leaks = this.#leaks;
    this.#leaks = undefined;
    const tallies = [...this.#tallies];
    const events = [...this.#events];
    this.#tallies.clear();
    this.#events.clear();
    for (const [name, tally] of tallies) channels[name].publish({ arena: this.#arena, ...tally });
    for (const [type, { count, details }] of events) this.#send(type, { count, ...details() });
    if (leaks === undefined) return;
    const { leases, byteLength, traces } = leaks;
    this.#send("leak", { leases, byteLength, sites: this.#sitesOf(traces) });
  }

  #send(type: keyof ArenaEvents, details: object): void {
    if (this.#isClosed) return;
    // A listener that throws is reported by the platform, and does not stop the rest.
    const event = Object.assign(new Event(type), details, { [INSPECT]: () => ({ type, ...details }) });
    (this.#arena as unknown as EventTarget).dispatchEvent(event);
    if (channels[type].hasSubscribers) channels[type].publish({ arena: this.#arena, ...details });
  }
}
