/** OpenTelemetry: an arena's numbers, read at each collection, named by its conventions. */

import type { Meter } from "@opentelemetry/api";
import type { Arena, ArenaStats } from "cleanslab";

type Read = (stats: ArenaStats) => number;
type Kind = "UpDownCounter" | "Counter" | "Gauge";

const METRICS: [name: string, kind: Kind, unit: string, read: Read, attributes?: Record<string, string>][] = [
  ["memory.usage", "UpDownCounter", "By", (s) => s.liveBytes, { "cleanslab.memory.state": "live" }],
  ["memory.usage", "UpDownCounter", "By", (s) => s.restingBytes, { "cleanslab.memory.state": "resting" }],
  ["memory.usage", "UpDownCounter", "By", (s) => s.idleBytes, { "cleanslab.memory.state": "idle" }],
  ["memory.reserved", "UpDownCounter", "By", (s) => s.reservedBytes],
  ["memory.limit", "UpDownCounter", "By", (s) => s.maxBytes],
  ["memory.headroom", "UpDownCounter", "By", (s) => s.headroomBytes],
  ["lease.count", "UpDownCounter", "{lease}", (s) => s.liveLeases],
  ["lease.pending_requests", "UpDownCounter", "{request}", (s) => s.waiting],
  ["lease.acquired", "Counter", "{lease}", (s) => s.acquired],
  ["lease.overflowed", "Counter", "{lease}", (s) => s.overflowed],
  ["lease.leaked", "Counter", "{lease}", (s) => s.leakedLeases],
  ["lease.wait_time", "Counter", "s", (s) => s.waited.totalMs / 1000],
  ["memory.revocations", "Counter", "{revocation}", (s) => s.revocations],
  ["lease.hit_ratio", "Gauge", "1", (s) => s.hitRate],
];

/** @param attributes tell arenas apart: `{ "cleanslab.arena.name": "uploads" }`. */
export function observeArena(arena: Arena, meter: Meter, attributes: Record<string, string> = {}): void {
  const rows = METRICS.map(([name, kind, unit, read, own]) => {
    const instrument = meter[`createObservable${kind}`](`cleanslab.${name}`, { unit });
    return { instrument, read, attributes: { ...attributes, ...own } };
  });
  meter.addBatchObservableCallback(
    (result) => {
      const stats = arena.stats();
      for (const { instrument, read, attributes } of rows) result.observe(instrument, read(stats), attributes);
    },
    rows.map(({ instrument }) => instrument),
  );
}
