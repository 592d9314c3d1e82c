/** Leases from their beginning to their end. */

import fc from "fast-check";
import { expectCode, expectNoRoom, Finding, firstOther, zeroBytes } from "../checks.js";
import { type Held, MOST_BLOCKS, type Model, picked } from "../model.js";
import { byteLengths, pick } from "../settings.js";
import type { World } from "../world.js";
import { calls, callsOn } from "./call.js";

const hasRoom = (model: Model): boolean => model.blocks.length < MOST_BLOCKS;
const heldIn = ({ held }: Model): Held[] => held;
const times = fc.oneof(
  { weight: 5, arbitrary: fc.constant(1) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 40 }) },
);

const acquire = calls(20, [byteLengths, times], {
  name: "acquire",
  can: hasRoom,
  run(world, byteLength, count) {
    for (let each = 0; each < count; each++) {
      world.obtain(`arena.acquire(${byteLength})`, byteLength, () => world.arena.acquire(byteLength));
    }
  },
});

const pool = calls(3, [byteLengths], {
  name: "pool",
  can: hasRoom,
  run(world, byteLength) {
    const call = (): ReturnType<typeof world.arena.acquire> => world.arena.pool(byteLength).acquire();
    world.obtain(`arena.pool(${byteLength}).acquire()`, byteLength, call);
  },
});

/** Many short lives: the way to the end of a segment, and to its second life. */
const churn = calls(4, [byteLengths, fc.integer({ min: 1, max: 60 })], {
  name: "churn",
  run(world, byteLength, count) {
    const { arena, model, settings } = world;
    const mark = world.mark();
    let done = 0;
    let isRefused = false;
    try {
      for (; done < count; done++) {
        const lease = arena.acquire(byteLength);
        const { bytes } = lease;
        const other = firstOther(bytes, zeroBytes(byteLength));
        if (other >= 0 && model.strayed.size === 0)
          throw new Finding(`lease.bytes[${other}] is ${bytes[other]}, not 0`);
        bytes.fill(mark);
        lease.release();
        model.noticeDrained();
      }
    } catch (error) {
      if (error instanceof Finding) {
        done++;
        throw error;
      }
      isRefused = true;
      expectNoRoom(model, settings, [byteLength], error);
    } finally {
      const check = model.strayed.size === 0 ? " assert(lease.bytes.every((byte) => byte === 0));" : "";
      world.say(
        `for (let each = 0; each < ${done}; each++) { const lease = arena.acquire(${byteLength});${check} ` +
          `lease.bytes.fill(${mark}); lease.release(); }`,
      );
      if (isRefused) world.say(`assert.throws(() => arena.acquire(${byteLength}));`);
    }
  },
});

/** Where the bytes of a copy come from. */
const source = fc.constantFrom("foreign", "live", "stale", "DataView");

const copyOf = calls(8, [byteLengths, source, pick], {
  name: "copyOf",
  can: hasRoom,
  run(world, byteLength, from, index) {
    const { model } = world;
    if (from === "live" && model.held.length > 0) copyLive(world, picked(model.held, index) as Held);
    else if (from === "stale" && model.stale.length > 0) copyStale(world, index);
    else copyForeign(world, Math.min(byteLength, world.settings.maxBytes), from === "DataView");
  },
});

function copyForeign(world: World, byteLength: number, isDataView: boolean): void {
  const mark = world.mark();
  const array = new Uint8Array(byteLength).fill(mark);
  const view = isDataView ? new DataView(array.buffer) : array;
  const code = `new Uint8Array(${byteLength}).fill(${mark})`;
  const argument = isDataView ? `new DataView(${code}.buffer)` : code;
  world.obtain(`arena.copyOf(${argument})`, byteLength, () => world.arena.copyOf(view), array);
}

function copyLive(world: World, { name, bytes, byteLength, expected, memory }: Held): void {
  const copy = (): ReturnType<typeof world.arena.copyOf> => world.arena.copyOf(bytes);
  const isDead = memory !== undefined && bytes.buffer.byteLength === 0;
  if (isDead) world.refused(`arena.copyOf(${name})`, copy, "ERR_INVALID_ARGUMENT");
  else world.obtain(`arena.copyOf(${name})`, byteLength, copy, expected.slice(0, byteLength));
}

/** Making room for the copy may revoke the view: then there is none, and nothing is leased. */
function copyStale(world: World, index: number): void {
  const view = picked(world.model.stale, index);
  if (view === undefined) return;
  const { name, bytes, expected } = view;
  const { length } = bytes;
  const code = `arena.copyOf(${name})`;
  try {
    // Where nothing is revoked, the copy's block may be the very one that the view shows.
    const content = (): Uint8Array => (world.model.revokes ? expected : new Uint8Array(copied?.bytes ?? []));
    const copied = world.arena.copyOf(bytes);
    if (length > 0 && bytes.length === 0) throw new Finding(`${code} copied a view that is dead`);
    const serial = world.next();
    world.say(`const lease${serial} = ${code};`);
    world.adopt(serial, copied, length, content());
  } catch (error) {
    world.say(`try { ${code}.release(); } catch {}`);
    expectCode(error, "ERR_INVALID_ARGUMENT", "ERR_ARENA_EXHAUSTED");
    if (bytes.length > 0) expectNoRoom(world.model, world.settings, [length], error);
  }
}

const resize = callsOn(10, heldIn, [byteLengths], {
  name: "resize",
  run(world, held, byteLength) {
    const { lease, leaseName } = held;
    const code = `${leaseName}.resize(${byteLength})`;
    const call = (): void => lease.resize(byteLength);
    if (held.isDetached) return world.refused(code, call, "ERR_LEASE_DETACHED");
    if (held.pins > 0) return world.refused(code, call, "ERR_LEASE_PINNED");
    const { bytes } = lease;
    try {
      call();
    } catch (error) {
      world.say(`assert.throws(() => ${code});`);
      if (byteLength <= held.byteLength) throw new Finding(`${code} threw ${String(error)}, and it is shorter`, code);
      return expectNoRoom(world.model, world.settings, [byteLength], error);
    }
    world.say(`${code};`);
    if (byteLength !== held.byteLength) world.resized(held, byteLength);
    else if (lease.bytes !== bytes) throw new Finding(`${leaseName}.bytes is another object after ${code}`);
  },
});

const releaseOne = callsOn(16, heldIn, [], { name: "release", run: (world, held) => world.release(held) });

/** The oldest ones, so that segments drain. */
const releaseMany = calls(4, [fc.integer({ min: 1, max: MOST_BLOCKS })], {
  name: "releaseMany",
  can: (model) => model.held.length > 0,
  run(world, count) {
    for (const held of world.model.held.slice(0, count)) world.release(held);
  },
});

const touchEnded = callsOn(1, ({ ended }) => ended, [], {
  name: "touchEnded",
  run(world, { name, lease }) {
    const code = "ERR_LEASE_RELEASED";
    world.refused(`${name}.release()`, () => lease.release(), code);
    world.refused(`${name}.bytes`, () => lease.bytes, code);
    world.refused(`${name}.memory`, () => lease.memory, code);
    world.refused(`${name}.origin`, () => lease.origin, code);
    world.refused(`${name}.resize(1)`, () => lease.resize(1), code);
    world.refused(`${name}.copy()`, () => lease.copy(), code);
    world.refused(`${name}.pin()`, () => lease.pin(), code);
    world.say(`${name}[Symbol.dispose]();`);
    lease[Symbol.dispose]();
  },
});

export const leaseCommands = [acquire, pool, churn, copyOf, resize, releaseOne, releaseMany, touchEnded];
