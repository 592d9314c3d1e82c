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
import { type ArenaEvents, type ArenaEventTarget, textOfEvent } from "./events.js";
import type { TraceSite } from "./sites.js";
import type { Trace } from "./trace.js";

/** Node prints nothing of an event but what every event has. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** What every event has a count of, and what only the channels tell. */
type Counted = "dirty" | "stray-write" | "exhausted";
type Tallied = "acquire" | "release" | "revoke";

/** N1 */
interface Pending {
  count: number;
  /** Bytes in all of them together. */
  byteLength: number;
  /** Of leases that leaked. */
  readonly traces: Trace[];
  /** What is said of all of them: asked when it is sent, since reading stacks runs the caller's code. */
  details: (all: Pending) => object;
}

const countAndBytes = ({ count, byteLength }: Pending): object => ({ count, byteLength });

export class Notices {
  readonly #arena: ArenaEventTarget;
  /** Serves those who wait. */
  readonly #serve: () => void;
  /** What became of traced leases that leaked, by call site. */
  readonly #sitesOf: (leaked: readonly Trace[]) => readonly TraceSite[];
  readonly #pending = new Map<keyof typeof channels, Pending>();
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
    this.#add("leak", leases, byteLength, (all) => {
      return { leases: all.count, byteLength: all.byteLength, sites: this.#sitesOf(all.traces) };
    });
    for (const trace of traces) this.#pending.get("leak")?.traces.push(trace);
  }

  /** @param details of the last one, which are asked for when the event is sent. */
  counted<K extends Counted>(type: K, details: () => Omit<ArenaEvents[K], "type" | "count">): void {
    this.#add(type, 1, 0, ({ count }) => ({ count, ...details() }));
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

  tally(name: Tallied, byteLength: number): void {
    if (channels[name].hasSubscribers) this.#add(name, 1, byteLength, countAndBytes);
  }

  /** Nothing more is sent. */
  close(): void {
    this.#isClosed = true;
    this.#pending.clear();
  }

  #add(name: keyof typeof channels, count: number, byteLength: number, details: Pending["details"]): void {
    if (this.#isClosed) return;
    const pending = this.#pending.get(name) ?? { count: 0, byteLength: 0, traces: [], details };
    pending.count += count;
    pending.byteLength += byteLength;
    pending.details = details;
    this.#pending.set(name, pending);
    this.wake();
  }

  #drain(): void {
    // Leases that serving takes and gives back must not schedule it again.
    try {
      this.#serve();
    } finally {
      this.#isScheduled = false;
    }
    const all = [...this.#pending];
    this.#pending.clear();
    for (const [name, pending] of all) this.#send(name, pending.details(pending));
  }

  #send(type: keyof typeof channels, details: object): void {
    if (this.#isClosed) return;
    if (type !== "acquire" && type !== "release" && type !== "revoke") {
      // A listener that throws is reported by the platform, and does not stop the rest.
      const event = Object.assign(new Event(type), details, {
        [INSPECT]: () => textOfEvent(type, details),
      });
      (this.#arena as unknown as EventTarget).dispatchEvent(event);
    }
    if (channels[type].hasSubscribers) channels[type].publish({ arena: this.#arena, ...details });
  }
}
