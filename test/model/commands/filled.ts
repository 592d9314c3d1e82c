/** Leases that a function of the caller's writes, at once or later, well or badly; and bytes that are lent. */

import type { Lease } from "cleanslab";
import fc from "fast-check";
import { follow } from "../after.js";
import { expectCode, expectNew, expectNoRoom, Finding, firstOther, zeroBytes } from "../checks.js";
import { type Block, MOST_BLOCKS, type Model, removeFrom } from "../model.js";
import { byteLengths } from "../settings.js";
import type { World } from "../world.js";
import { calls, callsOn } from "./call.js";
import { expectOutcome, Later, planned } from "./later.js";

const MOST_PENDING = 6;
const hasRoom = (model: Model): boolean => model.blocks.length < MOST_BLOCKS && model.pending.length < MOST_PENDING;

/** What `write` does. */
interface Fill {
  readonly byteLength: number;
  readonly answer: number | string;
  /** Bytes written: at least as many as are answered. */
  readonly written: number;
  readonly mark: number;
}

/** @param part of the bytes, in 64ths. @param extra bytes that are written and not answered. */
function planFill(world: World, byteLength: number, kind: string, part: number, extra: number): Fill {
  const some = Math.floor((byteLength * part) / 64);
  const answers: Record<string, number | string> = { all: byteLength, some, none: 0, more: byteLength + 1 };
  const answer = answers[kind] ?? "text";
  const least = typeof answer === "number" ? answer : some;
  return { byteLength, answer, written: Math.min(byteLength, least + extra), mark: world.mark() };
}

function isGood({ answer, byteLength }: Fill): boolean {
  return typeof answer === "number" && answer <= byteLength;
}

/** What `write` sees is zero where releases wipe; then it writes. */
function fill(world: World, bytes: Uint8Array<ArrayBuffer>, { byteLength, written, mark }: Fill): void {
  if (bytes.length !== byteLength) throw new Finding(`write got ${bytes.length} bytes instead of ${byteLength}`);
  if (world.wipes && !world.model.hasStrayed && firstOther(bytes, zeroBytes(byteLength)) >= 0) {
    throw new Finding("write got bytes that are not zero, where releases wipe");
  }
  bytes.fill(mark, 0, written);
}

function codeOf(name: string, { byteLength, written, mark }: Fill, end: string): string {
  return `arena.acquireFilled(${byteLength}, (bytes) => { ${name} = bytes.fill(${mark}, 0, ${written}); ${end}; })`;
}

const fills = [
  byteLengths,
  fc.constantFrom("all", "some", "none", "throws", "more", "text"),
  fc.nat(64),
  fc.nat(5000),
] as const;

const acquireFilled = calls(6, fills, {
  name: "acquireFilled",
  can: hasRoom,
  run(world, byteLength, kind, part, extra) {
    const { arena, model, settings } = world;
    const plan = planFill(world, byteLength, kind, part, extra);
    const name = `filled${world.next()}`;
    const code = codeOf(
      name,
      plan,
      kind === "throws" ? 'throw new Error("mine")' : `return ${JSON.stringify(plan.answer)}`,
    );
    let bytes: Uint8Array<ArrayBuffer> | undefined;
    const call = (): Lease =>
      arena.acquireFilled(byteLength, (given) => {
        bytes = given;
        fill(world, given, plan);
        if (kind === "throws") throw planned;
        return plan.answer as number;
      });
    world.say(`let ${name};`);
    if (isGood(plan)) {
      const held = world.obtain(code, byteLength, call, new Uint8Array(plan.answer as number).fill(plan.mark));
      if (bytes !== undefined) world.keepUnlessHeld({ name, bytes, expected: bytes }, held);
      return;
    }
    world.say(`assert.throws(() => ${code});`);
    try {
      call();
    } catch (error) {
      if (bytes === undefined) return expectNoRoom(model, settings, [byteLength], error);
      if (kind !== "throws") expectCode(error, "ERR_INVALID_ARGUMENT");
      else if (error !== planned) throw new Finding(`acquireFilled threw ${String(error)}, not what write threw`);
      world.keepStale({ name, bytes, expected: bytes });
      return model.noticeDrained();
    }
    throw new Finding(`acquireFilled gave a lease though write answered ${plan.answer}`);
  },
});

/** Bytes that somebody uses until a promise settles. */
function lentBlock(name: string, bytes: Uint8Array<ArrayBuffer>): Block {
  const { length: byteLength, byteOffset } = bytes;
  const expected = new Uint8Array(bytes);
  return { name, bytes, byteLength, byteOffset, expected, memory: undefined, isDetached: false };
}

const acquireFilledLater = calls(3, fills, {
  name: "acquireFilledLater",
  can: hasRoom,
  run(world, byteLength, kind, part, extra) {
    const { arena, model, settings } = world;
    const plan = planFill(world, byteLength, kind, part, extra);
    const serial = world.next();
    const name = `filled${serial}`;
    const filling = `filling${serial}`;
    const later = new Later<number>(world);
    const code = codeOf(name, plan, `return ${later.code}`);
    const lent: Block[] = [];
    world.say(`let ${name};`);
    try {
      const promise = arena.acquireFilled(byteLength, (bytes) => {
        fill(world, bytes, plan);
        lent.push(lentBlock(name, bytes));
        return later.promise;
      });
      world.say(`const ${filling} = ${code};\n${filling}.catch(() => {});`);
      const outcome = follow(promise);
      for (const block of lent) {
        expectNew(model, block, block.expected);
        model.blocks.push(block);
        const settle = async (isFulfilled: boolean, isDisposed: boolean): Promise<void> => {
          await later.settle(world, isFulfilled, plan.answer as number);
          model.remove(block);
          const { state, value, reason } = outcome;
          const mayBeDetached = block.isDetached || (byteLength === 0 && state === "rejected");
          if (isFulfilled && isGood(plan) && !mayBeDetached && !isDisposed) {
            if (value === undefined) throw new Finding(`${filling} is ${state}: ${String(reason)}`);
            const content = block.expected.slice(0, plan.answer as number);
            world.served([value], [content.length], `await ${filling}`, false, undefined, content);
            world.keepUnlessHeld(block, model.held.at(-1));
            return;
          }
          world.say(`await assert.rejects(${filling});`);
          if (!isFulfilled) expectOutcome(filling, outcome, false, undefined);
          else expectCode(reason, "ERR_INVALID_ARGUMENT", "ERR_LEASE_DETACHED", "ERR_ARENA_DISPOSED");
          world.keepStale(block);
        };
        model.pending.push({ name: filling, settle });
      }
    } catch (error) {
      world.say(`assert.throws(() => ${code});`);
      expectNoRoom(model, settings, [byteLength], error);
    }
  },
});

const use = calls(4, [byteLengths, fc.constantFrom("returns", "throws", "waits")], {
  name: "use",
  can: hasRoom,
  run(world, byteLength, how) {
    const { arena, model, settings } = world;
    const serial = world.next();
    const name = `lent${serial}`;
    const mark = world.mark();
    const later = how === "waits" ? new Later<string>(world) : undefined;
    const end = { returns: 'return "mine"', throws: 'throw new Error("mine")', waits: `return ${later?.code}` }[how];
    const check = model.strayed.size > 0 ? "" : " assert(bytes.every((byte) => byte === 0));";
    const code = `arena.use(${byteLength}, (bytes) => { ${name} = bytes;${check} bytes.fill(${mark}); ${end}; })`;
    const lent: Block[] = [];
    world.say(`let ${name};`);
    let result: unknown;
    try {
      result = arena.use(byteLength, (bytes) => {
        const block = lentBlock(name, bytes);
        expectNew(model, block, null);
        bytes.fill(mark);
        block.expected.fill(mark);
        lent.push(block);
        if (how === "throws") throw planned;
        return later?.promise ?? "mine";
      });
    } catch (error) {
      const isFound = error instanceof Finding;
      if (isFound && how !== "throws") world.say(`${code};`);
      else world.say(`assert.throws(() => ${code}${isFound ? ", /mine/" : ""});`);
      if (lent.length === 0) return expectNoRoom(model, settings, [byteLength], error);
      if (error !== planned) throw error;
    }
    for (const block of lent) {
      if (later === undefined) {
        if (how === "returns") world.say(`${code};`);
        model.noticeDrained();
        world.keepStale(block);
        continue;
      }
      world.say(`const using${serial} = ${code};\nusing${serial}.catch(() => {});`);
      const outcome = follow(result as Promise<string>);
      model.blocks.push(block);
      const settle = async (isFulfilled: boolean): Promise<void> => {
        await later.settle(world, isFulfilled, "mine");
        world.say(`await using${serial}.catch(() => {});`);
        model.remove(block);
        world.keepStale(block);
        expectOutcome(`using${serial}`, outcome, isFulfilled, "mine");
      };
      model.pending.push({ name: `using${serial}`, settle });
    }
  },
});

/** Settles a promise that bytes are used until. */
const settleOne = callsOn(6, ({ pending }) => pending, [fc.boolean()], {
  name: "settle",
  async run({ model }, pending, isFulfilled) {
    removeFrom(model.pending, pending);
    await pending.settle(isFulfilled, false);
  },
});

export const filledCommands = [acquireFilled, acquireFilledLater, use, settleOne];
