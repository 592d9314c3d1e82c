/** The recipes for dashboards and health checks, against the real packages. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import type { Arena } from "cleanslab";
import { Registry } from "prom-client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { health, writeReport } from "../../examples/recipes/health.ts";
import { observeArena } from "../../examples/recipes/opentelemetry.ts";
import { exposeArena } from "../../examples/recipes/prometheus.ts";
import { promptly, SEGMENT_BYTES, smallArena } from "../helpers.ts";
import { temporaryFolder } from "../node/helpers.ts";

const folder = temporaryFolder();
let arena: Arena;

/** One lease out, one overflowed, one that waited. */
beforeEach(async () => {
  arena = smallArena({ trace: "all" }, 1);
  const all = arena.acquire(SEGMENT_BYTES);
  arena.acquire(100).release(); // past the cap
  const waiting = arena.acquireAsync(1000);
  await setTimeout(5);
  all.release();
  await promptly(waiting);
});

afterEach(() => arena[Symbol.dispose]());

test("prom-client exposes what stats() says, counters as counters, at each scrape", async () => {
  const registry = new Registry();
  exposeArena(arena, "uploads", [registry]);
  for (let scrape = 0; scrape < 2; scrape++) {
    const text = await registry.metrics();
    const stats = arena.stats();
    const value = (name: string): number => Number(new RegExp(`^uploads_${name} (.*)$`, "m").exec(text)?.[1]);
    expect(value("live_bytes")).toBe(1000 + scrape * 10);
    expect(value("reserved_bytes")).toBe(stats.reservedBytes);
    expect(value("headroom_bytes")).toBe(stats.headroomBytes);
    expect(value("leases_acquired_total")).toBe(3 + scrape);
    expect(value("leases_overflowed_total")).toBe(1);
    expect(value("hit_ratio")).toBe(stats.hitRate);
    expect(value("wait_seconds_total")).toBeCloseTo(stats.waited.totalMs / 1000);
    expect(value("wait_seconds_total")).toBeGreaterThan(0);
    expect(text).toContain("# TYPE uploads_leases_acquired_total counter");
    expect(text).toContain("# TYPE uploads_live_bytes gauge");
    expect(text).not.toContain("NaN");
    arena.acquire(10);
  }
});

test("OpenTelemetry collects the same, with units and attributes by its conventions", async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 });
  const provider = new MeterProvider({ readers: [reader] });
  observeArena(arena, provider.getMeter("test"), { "cleanslab.arena.name": "uploads" });
  await reader.forceFlush();
  const [scope] = exporter.getMetrics()[0]?.scopeMetrics ?? [];
  const found = new Map(scope?.metrics.map((metric) => [metric.descriptor.name, metric]));
  await provider.shutdown();
  const points = (name: string) => found.get(name)?.dataPoints.map(({ value, attributes }) => ({ value, attributes }));
  const named = { "cleanslab.arena.name": "uploads" };
  expect(points("cleanslab.memory.usage")).toContainEqual({
    value: 1000,
    attributes: { ...named, "cleanslab.memory.state": "live" },
  });
  expect(points("cleanslab.memory.usage")).toHaveLength(3);
  expect(points("cleanslab.lease.acquired")).toEqual([{ value: 3, attributes: named }]);
  expect(points("cleanslab.lease.hit_ratio")).toEqual([{ value: arena.stats().hitRate, attributes: named }]);
  expect(found.get("cleanslab.memory.limit")?.descriptor.unit).toBe("By");
  expect(found.get("cleanslab.lease.wait_time")?.descriptor.unit).toBe("s");
  for (const name of found.keys()) expect(name).toMatch(/^cleanslab(\.[a-z_]+){2}$/);
});

test("a health check fails while the first in line waits too long, and says what else there is", async () => {
  const remarks = ["all of 262144 bytes are reserved", "leases past the cap, on the heap: 1"];
  expect(health(arena)).toEqual({ ok: true, reasons: remarks });
  const gone = new AbortController();
  const waiting = arena.acquireAsync(SEGMENT_BYTES, { signal: gone.signal }).catch(() => {});
  await setTimeout(10);
  const { ok, reasons } = health(arena, 5);
  expect(ok).toBe(false);
  expect(reasons[0]).toMatch(/^calls waiting for memory: 1, the first for \d+ ms$/);
  expect(reasons.slice(1)).toEqual(remarks);
  gone.abort();
  await waiting;
});

test("a diagnostic report has the arenas in it, with who holds them", () => {
  const path = join(folder, "report.json");
  writeReport(path, { uploads: arena });
  const { header, cleanslab } = JSON.parse(readFileSync(path, "utf8"));
  expect(header.nodejsVersion).toBe(process.version);
  expect(cleanslab.uploads.stats).toMatchObject({ liveLeases: 1, overflowed: 1 });
  expect(cleanslab.uploads.sites[0].summary).toContain("metrics.test");
});
