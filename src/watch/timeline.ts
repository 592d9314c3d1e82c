/**
 * What an arena does, on tracks of its own in the Performance panel of DevTools: the lives
 * of memories, waits at the cap, revocations. Not part of an arena: one is given to it,
 * and bundlers leave it out where nobody does.
 *
 * Each entry is a `performance.measure` with `detail.devtools`, which Chromium's recordings
 * show as custom tracks (developer.chrome.com/docs/devtools/performance/extension).
 */

import { inMicrotask } from "../builtins.js";
import { invalidArgument } from "../errors.js";
import type { ArenaTimeline, MemoryMove } from "../options.js";

interface Measures {
  now(): number;
  measure(name: string, options: { start: number; end: number; detail: object }): unknown;
  clearMeasures(name: string): void;
}

type Colour = "primary" | "primary-light" | "secondary" | "secondary-light" | "tertiary" | "warning" | "error";

interface Entry {
  readonly name: string;
  readonly track: string;
  readonly color: Colour;
  readonly start: number;
  readonly end: number;
  readonly properties: readonly (readonly [string, string])[];
}

/** What a state is called on a track, and its colour. */
const STATES: Record<MemoryMove["to"], [ofSegment: string, ofOneLease: string, Colour]> = {
  active: ["active", "active", "primary"],
  retired: ["full, leases out", "leased", "secondary"],
  drained: ["drained, idle", "idle", "secondary-light"],
  dropped: ["dropped", "dropped", "tertiary"],
  collected: ["leaked", "leaked", "error"],
};

/** Milliseconds that an entry without a length has: DevTools leaves out what has none. */
const SHOWN_MS = 0.05;

/** `new Arena({ timeline: new Timeline("uploads") })`. For one arena, or several on the same tracks. */
export class Timeline implements ArenaTimeline {
  readonly #group: string;
  readonly #performance: Measures;
  readonly #memories = new Map<object, { track: string; since: number; move: MemoryMove }>();
  #pending: Entry[] = [];
  readonly #counts = { segment: 0, memory: 0 };

  /** @param name of the group of tracks. */
  constructor(name = "cleanslab", measures = performance as unknown as Measures) {
    if (typeof name !== "string") throw invalidArgument("name", name, "a string: what the group of tracks is called");
    this.#group = name;
    this.#performance = measures;
  }

  /** Shows the states that last, up to now: before a recording ends. */
  flush(): void {
    const now = this.#performance.now();
    for (const memory of this.#memories.values()) {
      this.#endState(memory, now);
      memory.since = now;
    }
    this.#send();
  }

  /** Called by the arena. */
  moved(memory: object, move: MemoryMove): void {
    const now = this.#performance.now();
    const known = this.#memories.get(memory);
    if (known !== undefined) this.#endState(known, now);
    const what = move.kind === "segment" ? "segment" : "memory";
    const track = known?.track ?? `${what} ${++this.#counts[what]}`;
    if (move.to === "collected") this.#add({ ...this.#entry(track, now - SHOWN_MS, now, move), name: "leaked" });
    if (move.to === "collected" || move.to === "dropped") this.#memories.delete(memory);
    else this.#memories.set(memory, { track, since: now, move });
  }

  /** Called by the arena. */
  revoked(memory: object): void {
    const now = this.#performance.now();
    const of = this.#memories.get(memory)?.track ?? "a memory that is dropped";
    this.#add({
      name: "revoked",
      track: "revocations",
      color: "tertiary",
      start: now - SHOWN_MS,
      end: now,
      properties: [["of", of]],
    });
  }

  /** Called by the arena. */
  waited(byteLength: number, since: number, isServed: boolean): void {
    this.#add({
      name: isServed ? "waited for room" : "waited in vain",
      track: "waits at the cap",
      color: isServed ? "warning" : "error",
      start: since,
      end: this.#performance.now(),
      properties: [["bytes", String(byteLength)]],
    });
  }

  #endState({ track, since, move }: { track: string; since: number; move: MemoryMove }, now: number): void {
    this.#add(this.#entry(track, since, now, move));
  }

  #entry(
    track: string,
    start: number,
    end: number,
    { kind, to, reservedBytes, liveLeases, liveBytes }: MemoryMove,
  ): Entry {
    const [ofSegment, ofOneLease, color] = STATES[to];
    const properties = [
      ["reserved", `${reservedBytes} bytes`],
      ["at its start", `${liveLeases} leases of ${liveBytes} bytes`],
    ] as const;
    return { name: kind === "segment" ? ofSegment : ofOneLease, track, color, start, end, properties };
  }

  /** Sent in a microtask: `performance` may have been replaced by the caller's code. */
  #add(entry: Entry): void {
    if (this.#pending.push(entry) === 1) inMicrotask(() => this.#send());
  }

  #send(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const { name, start, end, ...devtools } of pending) {
      const detail = { devtools: { dataType: "track-entry", trackGroup: this.#group, ...devtools } };
      const full = `${this.#group}: ${name}`;
      this.#performance.measure(full, { start, end, detail });
      // Recorded and observed already; kept, they would pile up.
      this.#performance.clearMeasures(full);
    }
  }
}
