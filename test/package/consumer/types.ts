// Compiled against the published types with neither the DOM's nor Node's.
import {
  Arena,
  ArenaError,
  type ArenaErrorCode,
  type ArenaOptions,
  type ArenaStats,
  type Lease,
  type SizeClassPool,
  type StrayWriteEvent,
} from "cleanslab";

/** Fails to compile unless the two are the same type. */
function same<A, B>(..._: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? [] : [never]): void {}

const options: Required<ArenaOptions> = {
  maxBytes: 64 * 1024 * 1024,
  segmentBytes: 1024 * 1024,
  revoke: "before-reuse",
  onExhausted: "throw",
  guardEvery: 1000,
  trace: "sampled",
  sampleBytes: 512 * 1024,
  wipeOnRelease: true,
  timeline: undefined,
  module: undefined,
};
const arena = new Arena(options);
new Arena({ maxBytes: undefined, revoke: undefined });
{
  using lease = arena.acquire(4096);
  using scope = arena.scope();
  const words = lease.view(Float64Array);
  const narrow = lease.view(Float64Array<ArrayBuffer>);
  const other = lease.view(DataView);
  const grown = lease.bytes;
  same<typeof grown, Uint8Array<ArrayBuffer>>();
  const asWide: Float64Array = words;
  const asNarrow: Float64Array<ArrayBuffer> = narrow;
  const asView: DataView = other;
  scope.acquire(asWide.length + asNarrow.length + asView.byteLength).bytes[0] = grown[0] ?? 0;
}
{
  using filled = arena.acquireFilled(10, (bytes: Uint8Array<ArrayBuffer>) => bytes.length);
  const soon = arena.acquireFilled(10, async () => 3);
  const either = arena.acquireFilled(10, (bytes): number | Promise<number> => bytes.length);
  const both = arena.acquireAsync([1, 2], { signal: undefined });
  const used = arena.use(8, (bytes) => ({ bytes: bytes.length }));
  same<typeof filled, Lease>();
  same<typeof soon, Promise<Lease>>();
  same<typeof either, Lease | Promise<Lease>>();
  same<typeof both, Promise<[Lease, Lease]>>();
  same<typeof used, { bytes: number }>();
  arena.addEventListener("stray-write", (event) => same<typeof event, StrayWriteEvent>());
}
const pool: SizeClassPool = arena.pool(64);
const held: Lease = pool.acquire();
held.resize(3);
held.release();
arena.addEventListener("leak", (event) => {
  const leases: number = event.leases;
  if (leases === 0) throw new Error("never");
});
const sum: number = arena.use(8, (bytes) => bytes.length);
const later: Promise<Lease> = arena.acquireAsync(sum);
later.then((lease) => lease.release());
const stats: ArenaStats = arena.stats();
try {
  arena.acquire(stats.liveLeases);
} catch (error) {
  if (error instanceof ArenaError) {
    const code: ArenaErrorCode = error.code;
    if (code === "ERR_ARENA_EXHAUSTED") arena.trim();
  }
}
// @ts-expect-error a mode that does not exist
new Arena({ revoke: "sometimes" });
// @ts-expect-error an option that does not exist
new Arena({ maxByte: 1 });
// @ts-expect-error an event that does not exist
arena.addEventListener("leaks", () => {});
// @ts-expect-error a view of what is no view
held.view(Date);
// @ts-expect-error a lease has no bytes to assign
held.bytes = new Uint8Array(1);
