/**
 * Several threads over one shared book, all of them in one JavaScript thread. The hooked build
 * calls `step` before each shared access: there another thread runs an operation, or the one
 * that runs dies, which is a throw out of `step`. Owns the operations, and what must hold after.
 */

import { readFileSync } from "node:fs";
import { type SharedExports, Status } from "../../src/shared/abi.ts";

/** What the hooked build exports beside: all of assembly/shared/layout.ts. */
interface HookedExports extends SharedExports {
  beThread(serial: number): void;
  recordOf(id: number): number;
  slabWord(slab: number): number;
  maybeWord(slab: number): number;
  readonly [constant: string]: unknown;
}

/** What happens before the access number `at` of an operation, counted from 1. */
export interface Plan {
  readonly at: number;
  run(): void;
}

/** A shared access: which 8 bytes, and whether they changed. */
export interface Access {
  readonly pair: number;
  changed: boolean;
}

interface Token {
  readonly id: number;
  readonly generation: number;
  readonly byteLength: number;
  readonly sender: string;
  isUsed: boolean;
  /** Its sender was dead, and somebody called `forgetDead`. */
  mayBeGone: boolean;
}

// Tests run where they are written, the long ones as bundles in build/.
const built = import.meta.url.endsWith(".ts") ? "../../build/" : "./";
export const hookedModule = new WebAssembly.Module(
  readFileSync(new URL(`${built}shared-hooked.wasm`, import.meta.url)),
);

const SLABS = 4;
/** Records of a slab, and entries of the thread table, that anybody touches here. */
const BLOCKS = 4;
const ENTRIES = 7;
/** Classes of two and four blocks a slab. */
const HALF = 28;
const QUARTER = 24;
const DEATH = { name: "the end of a thread" };

/** An instance to ask where things lie. */
const layout = instantiate(hookedModule, sharedMemory());
layout.create(SLABS);
layout.attach(1, 0);
const constant = (name: string): number => (layout[name] as WebAssembly.Global).value;
const OWNED = constant("OWNED");
const KEPT = constant("KEPT");
const KIND = constant("KIND");
const OPEN = constant("OPEN");
const CLOSING = constant("CLOSING");
const LONG = constant("LONG");
const WHO = constant("WHO");
const BYTE_LENGTH = constant("BYTE_LENGTH") / 4;
const BLOCKS_A_SLAB = constant("BLOCKS_A_SLAB");
const BOOK_BYTES = layout.recordOf(SLABS * BLOCKS_A_SLAB);

/** Indices of words. */
const wordOf = (id: number): number => layout.recordOf(id) / 4;
const slabWordOf = (slab: number): number => layout.slabWord(slab) / 4;
const entryOf = (slot: number): number => (constant("THREADS") + slot * 16) / 4;
const upTo = (count: number): number[] => Array.from({ length: count }, (_, each) => each);
const RECORDS = upTo(SLABS).flatMap((slab) => upTo(BLOCKS).map((block) => wordOf(slab * BLOCKS_A_SLAB + block)));
/** All that anybody touches here: only its accesses are steps. */
const WORDS = [
  ...upTo(3),
  ...upTo(4 * ENTRIES).map((each) => entryOf(1) + each),
  ...upTo(SLABS).flatMap((slab) => [slabWordOf(slab), layout.maybeWord(slab) / 4]),
  ...RECORDS.flatMap((word) => [word, word + 1, word + 2]),
];
const isStep = new Uint8Array(BOOK_BYTES / 4);
for (const word of WORDS) isStep[word] = 1;

function sharedMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
}

function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  step = (_ptr: number): void => {},
): HookedExports {
  return new WebAssembly.Instance(module, { env: { memory, step } }).exports as unknown as HookedExports;
}

export class Thread {
  readonly name: string;
  readonly engine: number;
  readonly parent: number;
  readonly exports: HookedExports;
  readonly world: World;
  owned: number[] = [];
  kept: number[] = [];
  isDead = false;
  serial = 0;
  slot = 0;
  /** In the middle of an operation. */
  isBusy = false;
  #accesses: Access[] = [];
  #plans: readonly Plan[] = [];
  #next = 0;
  /** What the last access found. */
  readonly #before = new Int32Array(2);

  constructor(world: World, module: WebAssembly.Module, name: string, engine: number, parent: number) {
    this.world = world;
    this.name = name;
    this.engine = engine;
    this.parent = parent;
    // Of Z, any function of that type: a call from module to module costs less than one into JavaScript.
    this.exports = instantiate(module, world.memory, name === "Z" ? layout.beThread : (ptr) => this.step(ptr));
  }

  /** Runs an operation: its accesses, until it was done or the thread dead. */
  run(operation: Operation, plans: readonly Plan[] = []): readonly Access[] {
    this.#accesses = [];
    this.#plans = plans;
    this.#next = 0;
    this.isBusy = true;
    try {
      operation(this);
      this.#look();
    } catch (error) {
      if (error !== DEATH) throw error;
      this.isDead = true;
    } finally {
      this.isBusy = false;
      this.#plans = [];
    }
    return this.#accesses;
  }

  attach(): void {
    this.slot = this.exports.attach(this.engine, this.parent);
    must(this.slot > 0, "no slot in the table");
    this.serial = this.exports.serial();
    const same = this.world.threads.filter(({ isDead, serial }) => !isDead && serial === this.serial);
    must(same.length === 1, "two threads have one number");
  }

  /** Before an access. */
  step(ptr: number): void {
    if (!this.isBusy || isStep[ptr >> 2] === 0) return;
    this.#look();
    const pair = ptr >> 3;
    const at = this.#accesses.push({ pair, changed: false });
    while (this.#plans[this.#next]?.at === at) (this.#plans[this.#next++] as Plan).run();
    this.#before[0] = this.world.words[2 * pair] as number;
    this.#before[1] = this.world.words[2 * pair + 1] as number;
  }

  /** What the last access has changed. */
  #look(): void {
    const last = this.#accesses.at(-1);
    if (last === undefined) return;
    const { words } = this.world;
    last.changed = words[2 * last.pair] !== this.#before[0] || words[2 * last.pair + 1] !== this.#before[1];
  }
}

export function die(): never {
  throw DEATH;
}

function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

export type Operation = (thread: Thread) => void;

const got =
  (take: (exports: HookedExports) => number): Operation =>
  ({ exports, owned }) => {
    const id = take(exports);
    if (id >= 0) owned.push(id);
  };

const given =
  (from: (thread: Thread) => number | undefined): Operation =>
  (thread) => {
    const id = from(thread);
    if (id !== undefined) must(thread.exports.give(id) === Status.OK, `give of ${id} was refused`);
  };

const take: Operation = got((exports) => exports.take(QUARTER, 2));
const close: Operation = ({ exports }) => {
  exports.closeOne();
};

export const OPERATIONS: Readonly<Record<string, Operation>> = {
  takeHalf: got((exports) => exports.take(HALF, 0)),
  takeQuarter: take,
  takeTwo: got((exports) => exports.takeLong(2)),
  takeThree: got((exports) => exports.takeLong(3)),
  giveOldest: given(({ owned }) => owned.shift()),
  giveNewest: given(({ owned }) => owned.pop()),
  // As the bindings do it, without the module.
  keep: (thread) => {
    const id = thread.owned.pop();
    if (id === undefined) return;
    thread.step(4 * wordOf(id));
    thread.world.words[wordOf(id)] = KEPT | thread.serial;
    thread.kept.push(id);
  },
  giveKept: given(({ kept }) => kept.pop()),
  giveOthers: (thread) => {
    const id = thread.world.threads.find((each) => each !== thread && !each.isDead && each.owned.length > 0)?.owned[0];
    if (id !== undefined) must(thread.exports.give(id) === Status.NOT_YOURS, "another thread's block was given");
  },
  close,
  /** A slab gets another class, and is half full. */
  reopen: (thread) => {
    for (const each of [close, take, take]) each(thread);
  },
  handOver: ({ exports, owned, name, world: { tokens } }) => {
    const id = owned.pop();
    if (id === undefined) return;
    const byteLength = 100 + tokens.length;
    const generation = exports.handOver(id, byteLength);
    must(generation > 0, `handOver of ${id} was refused`);
    must(!tokens.some((each) => each.id === id && each.generation === generation), "a generation came twice");
    tokens.push({ id, generation, byteLength, sender: name, isUsed: false, mayBeGone: false });
  },
  adopt: (thread) => {
    const { tokens } = thread.world;
    const token = tokens.find(({ isUsed }) => !isUsed) ?? tokens.at(-1);
    if (token !== undefined) adopt(thread, token);
  },
  adoptUsed: (thread) => {
    const token = thread.world.tokens.find(({ isUsed }) => isUsed);
    if (token !== undefined) adopt(thread, token);
  },
  sweep: ({ exports, world }) => {
    for (const { engine } of world.dead) exports.threadEnded(engine);
  },
  forget: ({ exports, world }) => {
    world.forgetting++;
    try {
      exports.forgetDead();
    } finally {
      for (const token of world.tokens) token.mayBeGone ||= world.mayBeGone(token);
      world.forgetting--;
    }
  },
  /** Leaves and comes again, if no block has its number. */
  rejoin: (thread) => {
    if (thread.world.states.some((state) => (state & WHO) === thread.serial)) return;
    thread.exports.leave(thread.slot);
    thread.attach();
  },
};

function adopt(thread: Thread, token: Token): void {
  const { id, generation, byteLength } = token;
  const status = thread.exports.adopt(id, generation);
  if (status === Status.OK) {
    must(!token.isUsed, "a token was adopted twice, or after it was forgotten");
    must(thread.world.words[wordOf(id) + BYTE_LENGTH] === byteLength, "the length of a token is not its own");
    token.isUsed = true;
    thread.owned.push(id);
    return;
  }
  must(status === Status.USED_TOKEN, `adopt answered ${status}`);
  must(token.isUsed || thread.world.mayBeGone(token), "a token that nobody has adopted is refused");
}

/** Where a run begins, or what it ends in. */
export interface Moment {
  readonly words: Int32Array;
  readonly threads: readonly Pick<Thread, "owned" | "kept" | "isDead" | "serial" | "slot">[];
  readonly tokens: readonly Token[];
}

export class World {
  readonly memory = sharedMemory();
  readonly words = new Int32Array(this.memory.buffer, 0, BOOK_BYTES / 4);
  /** Z looks after all is over, and never dies. It started the others. */
  readonly threads: readonly Thread[];
  tokens: Token[] = [];
  /** Threads in the middle of `forgetDead`. */
  forgetting = 0;

  /** @param family each one's engine, and that of the thread that started it. @param slabs at first. */
  constructor(module: WebAssembly.Module, family: Record<string, readonly [number, number]>, slabs = SLABS) {
    const all = { Z: [1, 0] as const, ...family };
    this.threads = Object.entries(all).map(([name, names]) => new Thread(this, module, name, ...names));
    const { exports } = this.byName("Z");
    exports.create(SLABS);
    exports.setSlabs(slabs);
    for (const thread of this.threads) thread.attach();
  }

  get dead(): Thread[] {
    return this.threads.filter(({ isDead }) => isDead);
  }

  get states(): number[] {
    return RECORDS.map((word) => this.words[word] as number);
  }

  byName(name: string): Thread {
    const thread = this.threads.find((each) => each.name === name);
    must(thread !== undefined, `no thread ${name}`);
    return thread;
  }

  mayBeGone(token: Token): boolean {
    return token.mayBeGone || (this.forgetting > 0 && this.byName(token.sender).isDead);
  }

  now(): Moment {
    return {
      words: this.words.slice(),
      threads: this.threads.map(({ owned, kept, isDead, serial, slot }) => {
        return { owned: [...owned], kept: [...kept], isDead, serial, slot };
      }),
      tokens: this.tokens.map((token) => ({ ...token })),
    };
  }

  goTo({ words, threads, tokens }: Moment): void {
    this.words.set(words);
    this.tokens = tokens.map((token) => ({ ...token }));
    for (const [each, { owned, kept, isDead, serial, slot }] of threads.entries()) {
      const thread = this.threads[each] as Thread;
      thread.owned = [...owned];
      thread.kept = [...kept];
      thread.isDead = isDead;
      thread.serial = serial;
      thread.slot = slot;
      thread.exports.beThread(serial);
    }
  }

  /** Two numbers of 32 bits in one: the same for the same moment, and next to never for two. */
  key(): number {
    let one = 0;
    let two = 0x9e3779b9;
    const mix = (value: number): void => {
      one = Math.imul(one ^ value ^ (one >>> 15), 0x85ebca6b);
      two = Math.imul((two ^ value) + (two >>> 13), 0xc2b2ae35);
    };
    for (const word of WORDS) mix(this.words[word] as number);
    for (const { owned, kept, isDead, slot, serial } of this.threads) {
      mix(slot + serial * 64 + (isDead ? 2 ** 16 : 0));
      for (const id of owned) mix(id);
      mix(-1);
      for (const id of kept) mix(id);
    }
    for (const { id, generation, isUsed, mayBeGone, sender } of this.tokens) {
      mix(id * 256 + generation * 4 + (isUsed ? 2 : 0) + (mayBeGone ? 1 : 0));
      mix(sender.charCodeAt(0));
    }
    return (one >>> 0) * 2 ** 21 + (two >>> 11);
  }

  /** Promise 2, by the words themselves. */
  checkOverlap(): void {
    const ends: (readonly [number, number])[] = [];
    for (const { isDead, owned, kept, serial, name } of this.threads) {
      if (isDead) continue;
      for (const [each, id] of [...owned, ...kept].entries()) {
        const state = (each < owned.length ? OWNED : KEPT) | serial;
        must(this.words[wordOf(id)] === state, `block ${id} is not ${name}'s`);
        const [from, to] = this.#quartersOf(id);
        must(!ends.some(([start, end]) => from < end && start < to), `block ${id} overlaps another`);
        ends.push([from, to]);
      }
    }
  }

  /** Once nobody is inside the module: the audit, and everything comes back. Z hears of the deaths of `ended`. */
  finish(ended: readonly Thread[], forgetsFirst: boolean): void {
    const Z = this.byName("Z");
    this.checkOverlap();
    for (const { engine } of ended) Z.exports.threadEnded(engine);
    this.checkOverlap();
    this.#audit("after the sweep");
    for (const { serial, name } of this.dead) {
      const holds = this.states.some((state) => state === (OWNED | serial) || state === (KEPT | serial));
      must(!holds, `${name}, which is dead, still holds a block`);
    }
    if (forgetsFirst) {
      Z.run(OPERATIONS["forget"] as Operation);
      for (const token of this.tokens) token.isUsed ||= token.mayBeGone;
    }
    for (const token of this.tokens) adopt(Z, token);
    for (const thread of this.threads) {
      while (!thread.isDead && thread.owned.length > 0) thread.run(OPERATIONS["giveNewest"] as Operation);
      while (!thread.isDead && thread.kept.length > 0) thread.run(OPERATIONS["giveKept"] as Operation);
    }
    Z.exports.forgetDead();
    this.#audit("after all was given back");
    for (let slot = 1; slot <= ENTRIES; slot++) {
      const [engine, serial] = this.words.subarray(entryOf(slot));
      const of = this.threads.find((thread) => !thread.isDead && thread.slot === slot);
      must(engine === (of?.engine ?? 0) && serial === (of?.serial ?? 0), `slot ${slot} of the table is not right`);
    }
    for (let each = 0; Z.exports.closeOne() !== 0; each++) must(each < SLABS, "a closed slab is closed again");
    must(Z.exports.takeLong(SLABS) >= 0, "the slabs do not come back as one block");
    must(this.states.filter((state) => state !== 0).length === 1, "a block is lost");
  }

  #audit(when: string): void {
    const found = this.byName("Z").exports.audit();
    must(found === 0, `T${found >> 24} is broken at slab ${found & 0xffffff} ${when}`);
  }

  /** Where a block is, in quarters of a slab. */
  #quartersOf(id: number): [number, number] {
    const slab = Math.floor(id / BLOCKS_A_SLAB);
    const word = this.words[slabWordOf(slab)] as number;
    if ((word & KIND) === LONG) return [4 * slab, 4 * (slab + (word & ~KIND))];
    must((word & KIND) === OPEN || (word & KIND) === CLOSING, `block ${id} is in a slab that is not open`);
    const quarters = (word & constant("CLASS_MASK")) >> constant("CLASS_SHIFT") === HALF ? 2 : 1;
    const from = 4 * slab + quarters * (id % BLOCKS_A_SLAB);
    return [from, from + quarters];
  }
}
