// Compiled against the published types with neither the DOM's nor Node's.
import {
  Arena,
  ArenaError,
  type ArenaErrorCode,
  type ArenaOptions,
  type ArenaStats,
  type Lease,
  type SizeClassPool,
} from "cleanslab";

const options: ArenaOptions = { maxBytes: 64 * 1024 * 1024, revoke: "before-reuse" };
const arena = new Arena(options);
{
  using lease = arena.acquire(4096);
  const bytes: Uint8Array<ArrayBuffer> = lease.bytes;
  const words: Float64Array<ArrayBuffer> = lease.view(Float64Array<ArrayBuffer>);
  const other: DataView = lease.view(DataView);
  bytes[0] = words.length + other.byteLength;
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
// @ts-expect-error a lease has no bytes to assign
held.bytes = new Uint8Array(1);
