/** Writers and fillers. A writer shows what was written so far, a filler nothing before it is full. */

import type { ByteWriter } from "cleanslab";
import fc from "fast-check";
import { expectCode, expectNoRoom, expectValue, expectWhole, Finding } from "../checks.js";
import { type Filling, type Model, picked, removeFrom, type View, type Writing } from "../model.js";
import { byteLengths, pick } from "../settings.js";
import type { World } from "../world.js";
import { calls, callsOn } from "./call.js";

const MOST = 4;
const writersOf = ({ writers }: Model): Writing[] => writers;
const fillersOf = ({ fillers }: Model): Filling[] => fillers;

const openWriter = calls(2, [byteLengths], {
  name: "writer",
  can: (model) => model.writers.length < MOST,
  run(world, byteLength) {
    const writerName = `writer${world.next()}`;
    const code = `arena.writer(${byteLength})`;
    try {
      const writer = world.arena.writer(byteLength);
      world.say(`const ${writerName} = ${code};`);
      world.model.writers.push({
        name: `${writerName}.bytes`,
        writerName,
        writer,
        bytes: writer.bytes,
        byteLength: 0,
        byteOffset: writer.bytes.byteOffset,
        expected: new Uint8Array(64),
        memory: undefined,
        isDetached: false,
        capacity: byteLength,
      });
    } catch (error) {
      world.say(`assert.throws(() => ${code});`);
      expectNoRoom(world.model, world.settings, [byteLength], error);
    }
  },
});

/** The writer's block may be another one now, and longer. */
function renew(world: World, writing: Writing): void {
  const { model, arena } = world;
  const { writer, writerName, byteLength } = writing;
  const before = {
    name: writing.name,
    bytes: writing.bytes,
    expected: writing.expected.slice(0, writing.bytes.length),
  };
  const { bytes } = writer;
  const hasMoved = bytes.buffer !== before.bytes.buffer || bytes.byteOffset !== writing.byteOffset;
  Object.assign(writing, { name: `bytes${world.next()}`, bytes, byteOffset: bytes.byteOffset });
  world.say(`const ${writing.name} = ${writerName}.bytes;`);
  if (hasMoved) world.keepStale(before);
  writing.capacity += arena.stats().liveBytes - model.liveBytes;
  if (writing.capacity < byteLength) {
    throw new Finding(`${writerName} has ${byteLength} bytes in a lease of ${writing.capacity}`);
  }
  expectValue(`${writerName}.byteLength`, writer.byteLength, byteLength);
  expectWhole(writing);
}

/** Runs a write that appends `content`. */
function append(world: World, writing: Writing, call: string, write: () => unknown, content: Uint8Array): void {
  const { writerName, byteLength } = writing;
  const code = `${writerName}.${call}`;
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

/** What a writer writes, by kind. */
const WRITES: Record<
  string,
  (writer: ByteWriter, byteLength: number, mark: number) => [string, () => unknown, Uint8Array]
> = {
  bytes(writer, byteLength, mark) {
    const array = new Uint8Array(byteLength).fill(mark);
    return [`writeBytes(new Uint8Array(${byteLength}).fill(${mark}))`, () => writer.writeBytes(array), array];
  },
  string(writer, byteLength, mark) {
    const letter = String.fromCharCode(mark);
    const text = letter.repeat(byteLength);
    const code = `writeString(${JSON.stringify(letter)}.repeat(${byteLength}))`;
    return [code, () => writer.writeString(text), Buffer.from(text)];
  },
  uint32: (writer, _, mark) => [`writeUint32(${mark})`, () => writer.writeUint32(mark), Uint8Array.of(0, 0, 0, mark)],
  varint: (writer) => ["writeVarint(300)", () => writer.writeVarint(300), Uint8Array.of(0xac, 2)],
  reserve: (writer, byteLength) => [
    `reserve(${byteLength})`,
    () => writer.reserve(byteLength),
    new Uint8Array(byteLength),
  ],
};

const write = callsOn(6, writersOf, [fc.constantFrom(...Object.keys(WRITES)), byteLengths], {
  name: "write",
  run(world, writing, what, byteLength) {
    const [code, call, content] = WRITES[what]?.(writing.writer, byteLength, world.mark()) ?? [];
    if (code !== undefined && call !== undefined && content !== undefined) append(world, writing, code, call, content);
  },
});

/** Of itself, of a live lease, or of a released one. */
const writeView = callsOn(2, writersOf, [pick, fc.constantFrom("live", "stale", "own")], {
  name: "writeView",
  run(world, writing, viewIndex, which) {
    const { model } = world;
    const list = { live: model.held, stale: model.revokes ? model.stale : [], own: [writing] }[which] ?? [];
    const { name, bytes, expected } = picked<View>(list, viewIndex) ?? writing;
    const { length } = bytes;
    if (writing.isDetached || length === 0 || length > 200_000) return;
    const content = expected.slice(0, length);
    try {
      append(world, writing, `writeBytes(${name})`, () => writing.writer.writeBytes(bytes), content);
    } catch (error) {
      // Making room revoked the view.
      if (which !== "stale" || bytes.length > 0) throw error;
      expectCode((error as Finding).cause, "ERR_INVALID_ARGUMENT");
      renew(world, writing);
    }
  },
});

const endWriter = callsOn(2, writersOf, [fc.constantFrom("take", "take", "release", "reset")], {
  name: "endWriter",
  run(world, writing, how) {
    const { model } = world;
    const { name, writerName, writer, bytes, byteLength } = writing;
    if (writing.isDetached && how !== "release") {
      world.refused(`${writerName}.${how}()`, () => writer[how](), "ERR_LEASE_DETACHED");
    } else if (how === "reset") {
      world.say(`${writerName}.reset();`);
      writer.reset();
      writing.byteLength = 0;
      renew(world, writing);
    } else {
      const content = writing.expected.slice(0, byteLength);
      if (how === "release") {
        releaseWriter(world, writing);
      } else {
        removeFrom(model.writers, writing);
        const lease = writer.take();
        world.served([lease], [byteLength], `${writerName}.take()`, false, undefined, content);
        world.keepUnlessHeld({ name, bytes, expected: content }, model.held.at(-1));
      }
      world.refused(`${writerName}.writeUint8(1)`, () => writer.writeUint8(1), "ERR_LEASE_RELEASED");
    }
  },
});

export function releaseWriter(world: World, writing: Writing): void {
  const { name, writerName, writer, bytes, byteLength, expected } = writing;
  world.say(`${writerName}.release();`);
  writer.release();
  removeFrom(world.model.writers, writing);
  world.model.noticeDrained();
  world.keepStale({ name, bytes, expected: expected.slice(0, byteLength) });
}

const openFiller = calls(2, [byteLengths], {
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

const put = callsOn(3, fillersOf, [byteLengths, fc.boolean()], {
  name: "put",
  run(world, { name, filler, expected, mayBeDetached }, byteLength, isNumber) {
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

const endFiller = callsOn(2, fillersOf, [fc.boolean(), fc.boolean()], {
  name: "endFiller",
  run(world, filling, fills, drops) {
    const { model } = world;
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

export const bytesCommands = [openWriter, write, writeView, endWriter, openFiller, put, endFiller];
