/**
 * Writes: by those who may, through views of released leases, and by code that ignores
 * `byteOffset`, whom `.buffer` lets reach all of a segment. And a stranger's `grow(0)`.
 */

import fc from "fast-check";
import { expectCode, Finding } from "../checks.js";
import { bufferOf, type Held, type Model } from "../model.js";
import { byteLengths } from "../settings.js";
import { callsOn } from "./call.js";

/** Leases with bytes that their holders can reach. */
const reachable = ({ held }: Model): Held[] =>
  held.filter(({ byteLength, isDetached }) => byteLength > 0 && !isDetached);

const write = callsOn(5, reachable, [byteLengths, byteLengths], {
  name: "writeLive",
  run(world, { bytes, name, byteLength }, from, length) {
    const start = from % byteLength;
    world.write(bytes, name, start, Math.min(byteLength, start + length + 1), world.mark());
  },
});

const writeStale = callsOn(5, ({ stale }) => stale, [], {
  name: "writeStale",
  run(world, { bytes, name }) {
    const { model } = world;
    model.wroteWrongly = true;
    // Where nothing is revoked, it may be anyone's block by now.
    if (!model.revokes) for (const filling of model.fillers) filling.isTouched = true;
    world.write(bytes, name, 0, bytes.length, world.mark());
  },
});

/** From where to where: the trap, some bytes somewhere, or the whole memory. */
const target = fc.constantFrom("start", "somewhere", "somewhere", "all");

const writeHostile = callsOn(2, reachable, [target, fc.nat(262_144), byteLengths], {
  name: "writeHostile",
  run(world, held, where, at, length) {
    const { model, arena } = world;
    const buffer = bufferOf(held);
    const from = where === "somewhere" ? at % buffer.byteLength : 0;
    const to = where === "all" ? buffer.byteLength : Math.min(buffer.byteLength, from + length + 1);
    model.wroteWrongly = model.hasStrayed = true;
    for (const filling of model.fillers) filling.isTouched = true;
    const mark = world.mark();
    world.write(new Uint8Array(buffer), `new Uint8Array(${held.name}.buffer)`, from, to, mark);
    if (held.memory === undefined) return;
    // A trap reaches at least to byte 64.
    const isTrapHit = held.isInSegment && from < 64;
    const strayed = model.strayed.get(held.memory) ?? { buffer, writes: [], isNoticed: false };
    strayed.writes.push({ from, to, value: mark });
    strayed.buffer = buffer;
    strayed.isNoticed ||= world.settings.revoke === "on-release" || (isTrapHit && model.revokes);
    model.strayed.set(held.memory, strayed);
    if (!isTrapHit || at % 4 > 0) return;
    const before = arena.stats().strayWrites;
    world.say("arena.audit();");
    arena.audit();
    if (arena.stats().strayWrites > before) return;
    throw new Finding(
      "a write in front of every lease was not noticed",
      "assert.notEqual(arena.stats().strayWrites, 0);",
    );
  },
});

/** An empty lease works on with a new view, or says that it is detached, as any other must. Nothing between. */
function isRefused(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    expectCode(error, "ERR_LEASE_DETACHED");
    return true;
  }
}

/** Other code that was given `lease.memory` detaches every view of it. The bytes are where they were. */
const growByStranger = callsOn(1, ({ held }) => held.filter(({ memory }) => memory !== undefined), [], {
  name: "growByStranger",
  run(world, held) {
    const { model } = world;
    const buffer = bufferOf(held);
    const memory = held.memory as unknown as WebAssembly.Memory;
    const hit = model.blocks.filter((block) => bufferOf(block) === buffer);
    const writers = model.writers.filter(({ bytes }) => bytes.buffer === buffer);
    world.say(`${held.leaseName}.memory.grow(0);`);
    memory.grow(0);
    for (const block of hit) {
      const { lease, leaseName } = block as Partial<Held>;
      block.isDetached = block.byteLength > 0 || (lease?.released === false && isRefused(() => lease.bytes));
      if (block.isDetached || lease?.released !== false) continue;
      block.bytes = lease.bytes;
      block.name = `bytes${world.next()}`;
      world.say(`const ${block.name} = ${leaseName}.bytes;`);
    }
    for (const writing of writers) {
      writing.isDetached = writing.capacity > 0 || isRefused(() => writing.writer.bytes);
    }
    for (const filling of model.fillers) filling.mayBeDetached = true;
    const strayed = model.strayed.get(memory);
    if (strayed !== undefined) strayed.buffer = memory.buffer;
    const { lease, leaseName } = held;
    if (!held.isDetached) return;
    world.refused(`${leaseName}.bytes`, () => lease.bytes, "ERR_LEASE_DETACHED");
    world.refused(`${leaseName}.copy()`, () => lease.copy(), "ERR_LEASE_DETACHED");
  },
});

export const writeCommands = [write, writeStale, writeHostile, growByStranger];
