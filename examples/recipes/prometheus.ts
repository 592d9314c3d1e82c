/** prom-client: an arena's numbers, read at each scrape. Nothing runs in between. */

import type { Arena, ArenaStats } from "cleanslab";
import { Counter, Gauge, type Registry, register } from "prom-client";

/** Names that end in `_total` are counters. */
const METRICS: [name: string, help: string, read: (stats: ArenaStats) => number][] = [
  ["live_bytes", "Bytes in leases", (s) => s.liveBytes],
  ["resting_bytes", "Bytes released, and out of use until their segment has drained", (s) => s.restingBytes],
  ["idle_bytes", "Bytes in memories without leases", (s) => s.idleBytes],
  ["reserved_bytes", "Linear memory held for leases", (s) => s.reservedBytes],
  ["limit_bytes", "The cap", (s) => s.maxBytes],
  ["headroom_bytes", "What is left under the cap", (s) => s.headroomBytes],
  ["leases", "Leases out", (s) => s.liveLeases],
  ["hit_ratio", "Share of leases that needed no new memory", (s) => s.hitRate],
  ["waiting", "Calls waiting for room", (s) => s.waiting],
  ["waiting_seconds", "How long the first in line has waited", (s) => s.waitingMs / 1000],
  ["leases_acquired_total", "Leases handed out", (s) => s.acquired],
  ["leases_overflowed_total", "Leases that became heap buffers", (s) => s.overflowed],
  ["leases_leaked_total", "Leases never released", (s) => s.leakedLeases],
  ["revocations_total", "Times a memory's views were detached", (s) => s.revocations],
  ["waits_total", "Calls that waited and were served", (s) => s.waited.count],
  ["wait_seconds_total", "How long they waited", (s) => s.waited.totalMs / 1000],
];

/** @param prefix tells arenas apart. */
export function exposeArena(arena: Arena, prefix = "cleanslab", registers: Registry[] = [register]): void {
  for (const [name, help, read] of METRICS) {
    const collect = function (this: Counter | Gauge): void {
      this.reset();
      this.inc(read(arena.stats()));
    };
    const Metric = name.endsWith("_total") ? Counter : Gauge;
    new Metric({ name: `${prefix}_${name}`, help, registers, collect });
  }
}
