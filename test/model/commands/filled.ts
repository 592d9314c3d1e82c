/** Leases that a function of the caller's writes, at once or later, well or badly; and bytes that are lent. */

import fc from "fast-check";
import { expectCode, expectNew, expectNoRoom, Finding, firstOther, zeroBytes } from "../checks.js";
import { type Block, MOST_BLOCKS, type Model, type Outcome, picked, removeFrom } from "../model.js";
import { byteLengths, pick } from "../settings.js";
import type { World } from "../world.js";
import { calls } from "./call.js";

const hasRoom = (model: Model): boolean => model.blocks.length < MOST_BLOCKS;
const MOST_PENDING = 6;

class Planned extends Error {}
const planned = new Planned("thrown on purpose");

/** What the function answers, given how much it wrote. */
const answers = fc.constantFrom("all", "some", "none", "throws", "more", "text");
/** How much of the bytes it writes and answers, in 64ths; and how much it writes beyond that. */
const share = fc.nat(64);

interface Fill {
  readonly byteLength: number;
  readonly answer: number | string;
  /** Bytes written: at least as many as are answered. */
  readonly written: number;
  readonly mark: number;
}

function planFill(world: World, byteLength: number, kind: string, part: number, extra: number): Fill {
  const some = Math.floor((byteLength * part) / 64);
  const answer =
    kind === "all" ? byteLength : kind === "some" ? some : kind === "none" ? 0 : kind === "more" ? byteLength + 1 : "x";
  const least = typeof answer === "number" ? Math.min(answer, byteLength) : some;
  return { byteLength, answer, written: Math.min(byteLength, least + extra), mark: world.mark() };
}

/** What `write` sees is zero where releases wipe; then it writes. */
function fill(world: World, bytes: Uint8Array<ArrayBuffer>, { byteLength, written, mark }: Fill): void {
  if (bytes.length !== byteLength) throw new Finding(`write got ${bytes.length} bytes instead of ${byteLength}`);
  if (world.wipes && !world.model.hasStrayed && firstOther(bytes, zeroBytes(byteLength)) >= 0) {
    throw new Finding("write got bytes that are not zero, where releases wipe");
  }
  bytes.fill(mark, 0, written);
}

const acquireFilled = calls([byteLengths, answers, share, fc.nat(5000)], {
  name: "acquireFilled",
  can: hasRoom,
  run(world, byteLength, kind, part, extra) {
    const plan = planFill(world, byteLength, kind, part, extra);
    const name = `filled${world.next()}`;
    const answer = kind === "throws" ? 'throw new Error("mine")' : `return ${JSON.stringify(plan.answer)}`;
    const code = `arena.acquireFilled(${byteLength}, (bytes) => { ${name} = bytes.fill(${plan.mark}, 0, ${plan.written}); ${answer}; })`;
    let bytes: Uint8Array<ArrayBuffer> | undefined;
    const call = (): ReturnType<typeof world.arena.acquire> =>
      world.arena.acquireFilled(byteLength, (given) => {
        bytes = given;
        fill(world, given, plan);
        if (kind === "throws") throw planned;
        return plan.answer as number;
      });
    world.say(`let ${name};`);
    if (typeof plan.answer === "number" && plan.answer <= byteLength && kind !== "throws") {
      const content = new Uint8Array(plan.answer).fill(plan.mark);
      const held = world.obtain(code, byteLength, call, content);
      if (bytes !== undefined) world.keepView({ name, bytes, expected: bytes }, held);
      return;
    }
    world.say(`assert.throws(() => ${code});`);
    try {
      call();
    } catch (error) {
      if (bytes === undefined) expectNoRoom(world.model, world.settings, [byteLength], error);
      else if (kind !== "throws") expectCode(error, "ERR_INVALID_ARGUMENT");
      else if (error !== planned) throw new Finding(`acquireFilled threw ${String(error)}, not what write threw`);
      if (bytes !== undefined) world.keepView({ name, bytes, expected: bytes }, undefined);
      world.model.noticeDrained();
      return;
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

/** A promise that the caller settles later; the printed program has the same. */
function deferred<T>(): { promise: Promise<T>; settle: [(value: T) => void, (reason: unknown) => void] } {
  let settle: [(value: T) => void, (reason: unknown) => void] | undefined;
  const promise = new Promise<T>((...both) => {
    settle = both;
  });
  promise.catch(() => {});
  return { promise, settle: settle as never };
}

const acquireFilledLater = calls([byteLengths, answers, share, fc.nat(5000)], {
  name: "acquireFilledLater",
  can: (model) => hasRoom(model) && model.pending.length < MOST_PENDING,
  run(world, byteLength, kind, part, extra) {
    const { model } = world;
    const plan = planFill(world, byteLength, kind, part, extra);
    const serial = world.next();
    const name = `filled${serial}`;
    const { promise, settle } = deferred<number>();
    let block: Block | undefined;
    let outcome: Outcome<ReturnType<typeof world.arena.acquire>>;
    const code = `arena.acquireFilled(${byteLength}, (bytes) => { ${name} = bytes.fill(${plan.mark}, 0, ${plan.written}); return new Promise((...both) => { settle${serial} = both; }); })`;
    try {
      const filling = world.arena.acquireFilled(byteLength, (bytes) => {
        fill(world, bytes, plan);
        block = lentBlock(name, bytes);
        return promise;
      });
      outcome = world.follow(filling);
    } catch (error) {
      world.say(`assert.throws(() => ${code});`);
      return expectNoRoom(model, world.settings, [byteLength], error);
    }
    world.say(`let ${name}, settle${serial};\nconst filling${serial} = ${code};\nfilling${serial}.catch(() => {});`);
    const lent = block as unknown as Block;
    expectNew(model, lent, lent.expected);
    model.blocks.push(lent);
    model.pending.push({
      name: `filling${serial}`,
      async settle(isFulfilled, isDisposed) {
        const { answer } = plan;
        if (isFulfilled) settle[0](answer as number);
        else settle[1](planned);
        world.say(`settle${serial}[${isFulfilled ? 0 : 1}](${JSON.stringify(isFulfilled ? answer : "mine")});`);
        await world.settle();
        const view = { name, bytes: lent.bytes, expected: lent.expected };
        model.remove(lent);
        if (outcome.state === "pending") throw new Finding(`filling${serial} does not settle`);
        const isLeased = isFulfilled && !isDisposed && typeof answer === "number" && answer <= byteLength;
        if (isLeased && !lent.isDetached) {
          if (outcome.value === undefined)
            throw new Finding(`filling${serial} was rejected: ${String(outcome.reason)}`);
          const content = lent.expected.slice(0, answer);
          world.served([outcome.value], [answer], `await filling${serial}`, false, undefined, content);
          return world.keepView(view, model.held.at(-1));
        }
        world.say(`await assert.rejects(filling${serial});`);
        if (outcome.state !== "rejected") throw new Finding(`filling${serial} gave a lease`);
        if (!isFulfilled) {
          if (outcome.reason !== planned) throw new Finding(`filling${serial} was rejected: ${String(outcome.reason)}`);
        } else expectCode(outcome.reason, "ERR_INVALID_ARGUMENT", "ERR_LEASE_DETACHED", "ERR_ARENA_DISPOSED");
        world.keepView(view, undefined);
      },
    });
  },
});

const use = calls([byteLengths, fc.constantFrom("returns", "throws", "waits")], {
  name: "use",
  can: (model) => hasRoom(model) && model.pending.length < MOST_PENDING,
  run(world, byteLength, how) {
    const { arena, model } = world;
    const serial = world.next();
    const name = `lent${serial}`;
    const mark = world.mark();
    const { promise, settle } = deferred<string>();
    let lent: Block | undefined;
    const does = {
      returns: 'return "mine"',
      throws: 'throw "mine"',
      waits: `return new Promise((...both) => { settle${serial} = both; })`,
    }[how];
    const check = model.strayed.size > 0 ? "" : " assert(bytes.every((byte) => byte === 0));";
    const code = `arena.use(${byteLength}, (bytes) => { ${name} = bytes;${check} bytes.fill(${mark}); ${does}; })`;
    let result: unknown;
    try {
      result = arena.use(byteLength, (bytes) => {
        lent = lentBlock(name, bytes);
        expectNew(model, lent, null);
        bytes.fill(mark);
        lent.expected.fill(mark);
        if (how === "throws") throw planned;
        return how === "waits" ? promise : "mine";
      });
    } catch (error) {
      world.say(`let ${name};\nassert.throws(() => ${code});`);
      if (lent === undefined) return expectNoRoom(model, world.settings, [byteLength], error);
      if (error !== planned) throw error;
      model.noticeDrained();
      return world.keepView(lent, undefined);
    }
    const block = lent as unknown as Block;
    if (how === "returns") {
      world.say(`let ${name};\n${code};`);
      if (result !== "mine") throw new Finding(`use gave ${String(result)}`);
      model.noticeDrained();
      return world.keepView(block, undefined);
    }
    world.say(`let ${name}, settle${serial};\nconst using${serial} = ${code};\nusing${serial}.catch(() => {});`);
    const outcome = world.follow(result as Promise<string>);
    model.blocks.push(block);
    model.pending.push({
      name: `using${serial}`,
      async settle(isFulfilled) {
        settle[isFulfilled ? 0 : 1]("mine");
        world.say(`settle${serial}[${isFulfilled ? 0 : 1}]("mine");\nawait using${serial}.catch(() => {});`);
        await world.settle();
        model.remove(block);
        world.keepView(block, undefined);
        expectOutcome(`using${serial}`, outcome, isFulfilled, "mine");
      },
    });
  },
});

/** The promise settled as the caller's did. */
export function expectOutcome(name: string, outcome: Outcome<unknown>, isFulfilled: boolean, wanted: unknown): void {
  const { state, value, reason } = outcome;
  if (state === (isFulfilled ? "fulfilled" : "rejected") && (isFulfilled ? value : reason) === wanted) return;
  throw new Finding(`${name} is ${state} with ${String(value ?? reason)}`);
}

/** Settles a promise that bytes are used until. */
const settleOne = calls([pick, fc.boolean()], {
  name: "settle",
  can: (model) => model.pending.length > 0,
  async run({ model }, index, isFulfilled) {
    const pending = picked(model.pending, index);
    if (pending === undefined) return;
    removeFrom(model.pending, pending);
    await pending.settle(isFulfilled, false);
  },
});

export const filledCommands = [
  { weight: 6, arbitrary: acquireFilled },
  { weight: 3, arbitrary: acquireFilledLater },
  { weight: 4, arbitrary: use },
  { weight: 6, arbitrary: settleOne },
];
