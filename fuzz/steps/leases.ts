/** Single leases: acquired in every way, looked at, released, used when they have ended, leaked. */

import { ArenaError, type Lease, type ViewConstructor } from "cleanslab";
import { expectMarked, expectNoRoom } from "../checks.js";
import { firstOther, STALE_BYTE } from "../marks.js";
import type { Live } from "../model.js";
import { STEPS, type Step } from "../program.js";
import type { World } from "../world.js";
import { CONTENT, CONTENT_MARK, pickFrom, pickHeld } from "./step.js";

export function acquire(world: World, { way, byteLength }: Step): void {
  const serial = world.nextSerial();
  const { arena } = world;
  const ways: Record<(typeof STEPS.acquire)[number], [string, () => Lease]> = {
    acquire: [`arena.acquire(${byteLength})`, () => arena.acquire(byteLength)],
    pool: [`arena.pool(${byteLength}).acquire()`, () => arena.pool(byteLength).acquire()],
    copyOf: [
      `arena.copyOf(new Uint8Array(${byteLength}).fill(${CONTENT}))`,
      () => arena.copyOf(new Uint8Array(byteLength).fill(CONTENT)),
    ],
  };
  const how = STEPS.acquire[way] ?? "acquire";
  const [code, call] = ways[how];
  const lease = world.attempt(`lease${serial}`, code, call, world.refusals);
  if (lease instanceof ArenaError) expectNoRoom(world, byteLength, code);
  else world.adopt(serial, byteLength, lease, how === "copyOf" ? CONTENT_MARK : undefined);
}

export function release(world: World, { way, pick }: Step): void {
  const live = pickHeld(world, pick);
  if (live?.lease === undefined) return;
  const { lease, serial, byteLength } = live;
  expectMarked(world, live);
  const how = STEPS.release[way];
  const isPinned = live.pins.length > 0;
  if (how === "understated" && !isPinned && byteLength > 1 && canUnderstate(world, live)) {
    understate(world, live, lease);
    return;
  }
  const refusals = world.refusalsOfEnd(live);
  // Behind a message that was taken lies what its writer had to spare, where a write through .buffer is found too.
  const hasSpare = live.countedBytes > byteLength;
  if (how === "written" && !isPinned && !hasSpare && !world.isDamaged(live.buffer)) {
    const written = byteLength >> 1;
    live.bytes.fill(0, written);
    world.say(`bytes${serial}.fill(0, ${written});`);
    world.attempt("", `lease${serial}.release({ written: ${written} })`, () => lease.release({ written }));
  } else if (how === "dispose") {
    world.attempt("", `lease${serial}[Symbol.dispose]()`, () => lease[Symbol.dispose](), refusals);
  } else {
    world.attempt("", `lease${serial}.release()`, () => lease.release(), refusals);
  }
  if (!lease.released) throw world.found("a released lease says it is not", `assert(lease${serial}.released)`);
  world.end(live);
}

/** Whether it is certain that a false `written` is found out, or certain that it is not. */
function canUnderstate(world: World, { trace, buffer }: Live): boolean {
  return (trace === "all" || (trace === "off" && world.revokes)) && !world.isDamaged(buffer);
}

/** A false `written`: found out if traced, else what it leaves must not reach the next owner. */
function understate(world: World, live: Live, lease: Lease): void {
  const { serial, byteLength } = live;
  const written = byteLength >> 1;
  const code = `lease${serial}.release({ written: ${written} })`;
  const call = () => lease.release({ written });
  if (live.trace === "all") {
    world.refuses(code, call, "ERR_INVALID_ARGUMENT");
    if (lease.released) throw world.found("a refused release ended the lease", `assert(!lease${serial}.released)`);
    expectMarked(world, live);
    return;
  }
  world.attempt("", code, call);
  world.live.splice(world.live.indexOf(live), 1);
}

const VIEWS: Record<(typeof STEPS.view)[number], ViewConstructor<ArrayBufferView>> = {
  DataView,
  Uint16Array,
  Float64Array,
  BigUint64Array,
};

export function view(world: World, { way, pick }: Step): void {
  const live = pickHeld(world, pick);
  const name = STEPS.view[way];
  if (live?.lease === undefined || name === undefined) return;
  const { lease, serial, byteLength, mark } = live;
  const View = VIEWS[name];
  const code = `lease${serial}.view(${name})`;
  const call = () => lease.view(View);
  if (byteLength % (View.BYTES_PER_ELEMENT ?? 1) !== 0) {
    world.refuses(code, call, "ERR_INVALID_ARGUMENT");
    return;
  }
  const other = world.attempt(`view${serial}`, code, call);
  if (other instanceof ArenaError) return;
  const bytes = new Uint8Array(other.buffer, other.byteOffset, other.byteLength);
  const isSame = other.buffer === live.buffer && other.byteOffset === live.start && bytes.length === byteLength;
  if (isSame && (firstOther(bytes, mark) < 0 || world.isDamaged(live.buffer))) return;
  const both = `view${serial}.buffer === bytes${serial}.buffer && view${serial}.byteLength === ${byteLength}`;
  const start = `view${serial}.byteOffset === bytes${serial}.byteOffset`;
  throw world.found(`${code} is not a view of the lease's bytes`, `assert(${both} && ${start})`);
}

export function copy(world: World, { pick }: Step): void {
  const live = pickHeld(world, pick);
  if (live?.lease === undefined) return;
  const { lease, serial, mark, byteLength, buffer } = live;
  const copied = world.attempt(`copy${serial}`, `lease${serial}.copy()`, () => lease.copy());
  if (copied instanceof ArenaError) return;
  const isSame = copied.length === byteLength && (firstOther(copied, mark) < 0 || world.isDamaged(buffer));
  if (!isSame) throw world.found("a copy is none", `assert.deepEqual(copy${serial}, bytes${serial})`);
  copied.fill(STALE_BYTE);
  world.say(`copy${serial}.fill(${STALE_BYTE});`);
  expectMarked(world, live);
}

export function useEnded(world: World, { way, pick }: Step): void {
  const ended = pickFrom(world.ended, pick);
  if (ended === undefined) return;
  const { lease, serial } = ended;
  const how = STEPS.useEnded[way];
  if (how === "dispose") {
    world.attempt("", `lease${serial}[Symbol.dispose]()`, () => lease[Symbol.dispose]());
    return;
  }
  const uses: Record<Exclude<(typeof STEPS.useEnded)[number], "dispose">, [string, () => unknown]> = {
    release: ["release()", () => lease.release()],
    bytes: ["bytes", () => lease.bytes],
    view: ["view(Uint8Array)", () => lease.view(Uint8Array)],
    copy: ["copy()", () => lease.copy()],
    pin: ["pin()", () => lease.pin()],
    releaseAfter: ["releaseAfter(Promise.resolve())", () => lease.releaseAfter(Promise.resolve())],
  };
  if (how === undefined) return;
  const [code, call] = uses[how];
  world.refuses(`lease${serial}.${code}`, call, "ERR_LEASE_RELEASED");
}

/** Forgets a lease: the arena must find out by itself, or hold on to it. */
export function leak(world: World, { pick }: Step): void {
  const live = pickHeld(world, pick);
  if (live?.lease === undefined || live.scope !== undefined || live.pins.length > 0 || live.held > 0) return;
  expectMarked(world, live);
  world.operations++;
  world.live.splice(world.live.indexOf(live), 1);
  world.leaked++;
  world.leakedBytes += live.countedBytes;
  world.forget(live.serial);
}
