// A consumer's program: what each bundler is given, and what its bundle must print.
import { Arena } from "cleanslab";

const arena = new Arena({ revoke: "on-release" });
const lease = arena.acquire(4096);
const stale = lease.bytes.fill(7);
lease.release();
const { acquired, released } = arena.stats();
console.log(JSON.stringify({ acquired, released, staleLength: stale.length }));
