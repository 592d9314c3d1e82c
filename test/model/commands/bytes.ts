/** Writers and fillers. A writer shows what was written so far, a filler nothing before it is full. */

import fc from "fast-check";
import { expectCode, expectNoRoom, expectWhole, Finding } from "../checks.js";
import { type Filling, type Model, picked, removeFrom, type Writing } from "../model.js";
import { byteLengths, pick } from "../settings.js";
import type { World } from "../world.js";
import { calls } from "./call.js";

const MOST = 4;
const hasWriter = (model: Model): boolean => model.writers.length > 0;
const hasFiller = (model: Model): boolean => model.fillers.length > 0;

const openWriter = calls([byteLengths], {
  name: "writer",
  can: (model) => model.writers.length < MOST,
  run(world, byteLength) {
    const name = `writer${world.next()}`;
    const code = `arena.writer(${byteLength})`;
    try {
      const writer = world.arena.writer(byteLength);
      world.say(`const ${name} = ${code};`);
      const { bytes } = writer;
      const rest = { byteLength: 0, byteOffset: bytes.byteOffset, memory: undefined, isDetached: false };
      world.model.writers.push({ name, writer, bytes, expected: new Uint8Array(64), capacity: byteLength, ...rest });
    } catch (error) {
      world.say(`assert.throws(() => ${code});`);
      expectNoRoom(world.model, world.settings, [byteLength], error);
    }
  },
});

/** The writer's block may be another one, and longer. */
function renew(world: World, writing: Writing): void {
  const { model, arena } = world;
  const { writer, name } = writing;
  const before = {
    name: `${name}.bytes`,
    bytes: writing.bytes,
    expected: writing.expected.slice(0, writing.bytes.length),
  };
  writing.bytes = writer.bytes;
  const hasMoved = writing.bytes.buffer !== before.bytes.buffer || writing.bytes.byteOffset !== writing.byteOffset;
  writing.byteOffset = writing.bytes.byteOffset;
  if (hasMoved) world.keepView(before, undefined);
  writing.capacity += arena.stats().liveBytes - model.liveBytes;
  if (writing.capacity < writing.byteLength) {
    throw new Finding(`${name} has ${writing.byteLength} bytes in a lease of ${writing.capacity}`);
  }
  if (writer.byteLength !== writing.byteLength) {
    throw new Finding(
      `${name} has ${writer.byteLength} bytes`,
      `assert.equal(${name}.byteLength, ${writing.byteLength});`,
    );
  }
  expectWhole({ ...writing, name: `${name}.bytes` });
}

/** Runs a write that appends `content`. */
function append(world: World, writing: Writing, call: string, write: () => unknown, content: Uint8Array): void {
  const { name, byteLength } = writing;
  const code = `${name}.${call}`;
  if (writing.isDetached) {
    world.refused(code, write, "ERR_LEASE_DETACHED");
    return;
  }
  try {
    write();
    world.say(`${code};`);
    const needed = byteLength + content.length;
    if (needed > writing.expected.length) {
      const longer = new Uint8Array(2 * needed);
      longer.set(writing.expected.subarray(0, byteLength));
      writing.expected = longer;
    }
    writing.expected.set(content, byteLength);
    writing.byteLength = needed;
  } catch (error) {
    world.say(`assert.throws(() => ${code});`);
    expectNoRoom(world.model, world.settings, [byteLength + content.length], error);
  }
  renew(world, writing);
}

const write = calls([pick, fc.constantFrom("bytes", "string", "uint32", "varint", "reserve", "own"), byteLengths], {
  name: "write",
  can: hasWriter,
  run(world, index, what, byteLength) {
    const writing = picked(world.model.writers, index) as Writing;
    const { writer, name, bytes, expected } = writing;
    const mark = world.mark();
    if (what === "bytes") {
      const array = new Uint8Array(byteLength).fill(mark);
      const code = `writeBytes(new Uint8Array(${byteLength}).fill(${mark}))`;
      append(world, writing, code, () => writer.writeBytes(array), array);
    } else if (what === "string") {
      const text = String.fromCharCode(mark).repeat(byteLength);
      const code = `writeString(${JSON.stringify(text.slice(0, 1))}.repeat(${byteLength}))`;
      append(world, writing, code, () => writer.writeString(text), Buffer.from(text));
    } else if (what === "uint32") {
      append(world, writing, `writeUint32(${mark})`, () => writer.writeUint32(mark), Uint8Array.of(0, 0, 0, mark));
    } else if (what === "varint") {
      append(world, writing, "writeVarint(300)", () => writer.writeVarint(300), Uint8Array.of(0xac, 2));
    } else if (what === "reserve") {
      append(world, writing, `reserve(${byteLength})`, () => writer.reserve(byteLength), new Uint8Array(byteLength));
    } else if (!writing.isDetached && bytes.length < 100_000) {
      const content = expected.slice(0, writing.byteLength);
      append(world, writing, `writeBytes(${name}.bytes)`, () => writer.writeBytes(writer.bytes), content);
    }
  },
});

/** A view of a released lease, or of a live one, as the source. */
const writeView = calls([pick, pick, fc.boolean()], {
  name: "writeView",
  can: (model) => hasWriter(model) && model.revokes,
  run(world, index, viewIndex, isStale) {
    const { model } = world;
    const writing = picked(model.writers, index) as Writing;
    const view = picked<{ name: string; bytes: Uint8Array; expected: Uint8Array }>(
      isStale ? model.stale : model.held,
      viewIndex,
    );
    if (view === undefined || writing.isDetached) return;
    const { length } = view.bytes;
    if (length === 0) return;
    const content = view.expected.slice(0, length);
    const code = `${writing.name}.writeBytes(${view.name})`;
    try {
      append(world, writing, `writeBytes(${view.name})`, () => writing.writer.writeBytes(view.bytes), content);
    } catch (error) {
      // Making room revoked the view.
      if (!isStale || view.bytes.length > 0) throw error;
      world.lines.pop();
      world.say(`try { ${code}; } catch {}`);
      renew(world, writing);
    }
  },
});

const endWriter = calls([pick, fc.constantFrom("take", "take", "release", "reset")], {
  name: "endWriter",
  can: hasWriter,
  run(world, index, how) {
    const { model } = world;
    const writing = picked(model.writers, index) as Writing;
    const { name, writer, byteLength, isDetached } = writing;
    if (isDetached && how !== "release")
      return world.refused(`${name}.${how}()`, () => writer[how](), "ERR_LEASE_DETACHED");
    if (how === "reset") {
      world.say(`${name}.reset();`);
      writer.reset();
      writing.byteLength = 0;
      return renew(world, writing);
    }
    const content = writing.expected.slice(0, byteLength);
    const view = { name: `${name}.bytes`, bytes: writing.bytes, expected: content };
    if (how === "release") {
      releaseWriter(world, writing);
    } else {
      removeFrom(model.writers, writing);
      const lease = writer.take();
      world.served([lease], [byteLength], `${name}.take()`, false, undefined, content);
      world.keepView(view, model.held.at(-1));
    }
    world.refused(`${name}.writeUint8(1)`, () => writer.writeUint8(1), "ERR_LEASE_RELEASED");
  },
});

export function releaseWriter(world: World, writing: Writing): void {
  const { name, writer, bytes, byteLength, expected } = writing;
  world.say(`${name}.release();`);
  writer.release();
  removeFrom(world.model.writers, writing);
  world.model.noticeDrained();
  world.keepView({ name: `${name}.bytes`, bytes, expected: expected.slice(0, byteLength) }, undefined);
}

const openFiller = calls([byteLengths], {
  name: "filler",
  can: (model) => model.fillers.length < MOST,
  run(world, byteLength) {
    const name = `filler${world.next()}`;
    const code = `arena.filler(${byteLength})`;
    try {
      const filler = world.arena.filler(byteLength);
      world.say(`const ${name} = ${code};`);
      const expected = new Uint8Array(byteLength);
      world.model.fillers.push({ name, filler, byteLength, expected, isTouched: false, mayBeDetached: false });
    } catch (error) {
      world.say(`assert.throws(() => ${code});`);
      expectNoRoom(world.model, world.settings, [byteLength], error);
    }
  },
});

const put = calls([pick, byteLengths, fc.boolean()], {
  name: "put",
  can: hasFiller,
  run(world, index, byteLength, isNumber) {
    const { name, filler, expected, mayBeDetached } = picked(world.model.fillers, index) as Filling;
    const mark = world.mark();
    const { written, rest } = filler;
    const content = isNumber ? Uint8Array.of(0, 0, 0, mark) : new Uint8Array(byteLength).fill(mark);
    const code = isNumber ? `${name}.writeUint32(${mark})` : `${name}.put(new Uint8Array(${byteLength}).fill(${mark}))`;
    try {
      const count = isNumber ? 4 : Math.min(byteLength, rest);
      if (isNumber) filler.writeUint32(mark);
      else if (filler.put(content) !== count) throw new Finding(`${code} is not ${count}`);
      world.say(`${code};`);
      expected.set(content.subarray(0, count), written);
      if (filler.written !== written + count) throw new Finding(`${name}.written is ${filler.written} after ${code}`);
    } catch (error) {
      world.say(`assert.throws(() => ${code});`);
      if (isNumber && rest < 4) expectCode(error, "ERR_OUT_OF_BOUNDS", "ERR_LEASE_DETACHED");
      else if (mayBeDetached) expectCode(error, "ERR_LEASE_DETACHED");
      else throw error;
      if (filler.written !== written) throw new Finding(`${name}.written is ${filler.written} after ${code} threw`);
    }
  },
});

const endFiller = calls([pick, fc.boolean(), fc.boolean()], {
  name: "endFiller",
  can: hasFiller,
  run(world, index, fills, drops) {
    const { model } = world;
    const filling = picked(model.fillers, index) as Filling;
    const { name, filler, byteLength, expected, isTouched, mayBeDetached } = filling;
    if (drops) return dropFiller(world, filling);
    if (fills && !mayBeDetached && filler.rest > 0) {
      const mark = world.mark();
      world.say(`${name}.put(new Uint8Array(${filler.rest}).fill(${mark}));`);
      expected.fill(mark, filler.written);
      filler.put(new Uint8Array(filler.rest).fill(mark));
    }
    if (!filler.full && !mayBeDetached) {
      return world.refused(`${name}.take()`, () => filler.take(), "ERR_OUT_OF_BOUNDS");
    }
    try {
      const lease = filler.take();
      removeFrom(model.fillers, filling);
      const content = isTouched ? new Uint8Array(lease.bytes) : expected;
      world.served([lease], [byteLength], `${name}.take()`, false, undefined, content);
    } catch (error) {
      if (!mayBeDetached) throw error;
      world.say(`assert.throws(() => ${name}.take());`);
      expectCode(error, "ERR_LEASE_DETACHED", "ERR_OUT_OF_BOUNDS");
    }
  },
});

export function dropFiller(world: World, filling: Filling): void {
  world.say(`${filling.name}.drop();`);
  filling.filler.drop();
  removeFrom(world.model.fillers, filling);
  world.model.noticeDrained();
}

export const bytesCommands = [
  { weight: 2, arbitrary: openWriter },
  { weight: 6, arbitrary: write },
  { weight: 2, arbitrary: writeView },
  { weight: 2, arbitrary: endWriter },
  { weight: 2, arbitrary: openFiller },
  { weight: 3, arbitrary: put },
  { weight: 2, arbitrary: endFiller },
];
