/**
 * Several threads over one shared book, all of them in one JavaScript thread. The hooked build
 * calls `step` before each shared access: there another thread runs an operation, or the one
 * that runs dies, which is a throw out of `step`. Owns the operations, and what must hold after.
 */

import { BYTE_LENGTH, KEPT, LONG, OWNED, type SharedExports, Status } from "../../src/shared/abi.ts";

/** What the hooked build exports beside: all of assembly/shared/layout.ts. */
interface HookedExports extends SharedExports {
  beThread(serial: number): void;
  bookBytes(maxSlabs: number): number;
  recordOf(id: number): number;
  slabWord(slab: number): number;
}

/** What happens before the access number `at` of an operation, counted from 1. */
export interface Plan {
  readonly at: number;
  run(): void;
}

/** A shared access: to which 8 bytes, and whether they changed. */
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

const SLABS = 4;
const BLOCKS_A_SLAB = 4;
/** Classes of two and four blocks a slab. */
const HALF = 28;
const QUARTER = 24;
const ENTRIES = 7;
const WHO = 2 ** 23 - 1;
const OPEN = 3;
const CLOSING = 2;
const DEATH = { name: "the end of a thread" };

type ThreadState = Pick<Thread, "owned" | "kept" | "isDead" | "serial" | "slot">;

function stateOf({ owned, kept, isDead, serial, slot }: ThreadState): ThreadState {
  return { owned: [...owned], kept: [...kept], isDead, serial, slot };
}

export class Thread {
  readonly name: string;
  readonly engine: number;
  readonly exports: HookedExports;
  readonly world: World;
  owned: number[] = [];
  kept: number[] = [];
  isDead = false;
  serial = 0;
  slot = 0;
  /** In the middle of an operation. */
  isBusy = false;
  readonly #parent: number;
  #accesses: Access[] = [];
  #plans: readonly Plan[] = [];
  #next = 0;
  /** What the last access found. */
  readonly #before = [0, 0];

  constructor(world: World, module: WebAssembly.Module, name: string, engine: number, parent: number) {
    this.world = world;
    this.name = name;
    this.engine = engine;
    this.#parent = parent;
    const env = { memory: world.memory, step: (ptr: number) => this.step(ptr) };
    this.exports = new WebAssembly.Instance(module, { env }).exports as unknown as HookedExports;
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
    }
    return this.#accesses;
  }

  attach(): void {
    this.slot = this.exports.attach(this.engine, this.#parent);
    must(this.slot > 0, "no slot in the table");
    this.serial = this.exports.serial();
    const same = this.world.threads.filter(({ isDead, serial }) => !isDead && serial === this.serial);
    must(same.length === 1, "two threads have one number");
  }

  /** Before an access. */
  step(ptr: number): void {
    if (!this.isBusy) return;
    this.#look();
    const pair = ptr >> 3;
    const at = this.#accesses.push({ pair, changed: false });
    while (this.#plans[this.#next]?.at === at) (this.#plans[this.#next++] as Plan).run();
    for (const each of [0, 1]) this.#before[each] = this.world.words[2 * pair + each] as number;
  }

  /** What the last access has changed. */
  #look(): void {
    const last = this.#accesses.at(-1);
    if (last === undefined) return;
    last.changed = this.#before.some((word, each) => word !== this.world.words[2 * last.pair + each]);
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
const takeTwo: Operation = got((exports) => exports.takeLong(2));
const close: Operation = ({ exports }) => {
  exports.closeOne();
};
const giveNewest: Operation = given(({ owned }) => owned.pop());
const giveKept: Operation = given(({ kept }) => kept.pop());

const handOver: Operation = ({ exports, owned, name, world: { tokens } }) => {
  const id = owned.pop();
  if (id === undefined) return;
  const byteLength = 100 + tokens.length;
  const generation = exports.handOver(id, byteLength);
  must(generation > 0, `handOver of ${id} was refused`);
  must(!tokens.some((each) => each.id === id && each.generation === generation), "a generation came twice");
  tokens.push({ id, generation, byteLength, sender: name, isUsed: false, mayBeGone: false });
};

export const OPERATIONS: Readonly<Record<string, Operation>> = {
  takeHalf: got((exports) => exports.take(HALF, 0)),
  takeQuarter: take,
  takeTwo,
  takeThree: got((exports) => exports.takeLong(3)),
  giveOldest: given(({ owned }) => owned.shift()),
  giveNewest,
  // As the bindings do it, without the module.
  keep: (thread) => {
    const id = thread.owned.pop();
    if (id === undefined) return;
    thread.step(thread.exports.recordOf(id));
    thread.world.words[thread.world.recordOf(id)] = KEPT | thread.serial;
    thread.kept.push(id);
  },
  giveKept,
  giveOthers: (thread) => {
    const id = thread.world.threads.find((each) => each !== thread && !each.isDead && each.owned.length > 0)?.owned[0];
    if (id !== undefined) must(thread.exports.give(id) === Status.NOT_YOURS, "another thread's block was given");
  },
  close,
  /** A slab gets another class, and is half full. */
  reopen: (thread) => {
    for (const each of [close, take, take]) each(thread);
  },
  /** A slab becomes a part of a long block. */
  relong: (thread) => {
    for (const each of [close, takeTwo, takeTwo]) each(thread);
  },
  handOver,
  adopt: (thread) => adopt(thread, thread.world.tokens.find(({ isUsed }) => !isUsed) ?? thread.world.tokens.at(-1)),
  /** A token comes back, and goes out again. */
  passOn: (thread) => {
    const token = thread.world.tokens.find(({ isUsed }) => !isUsed);
    adopt(thread, token);
    if (thread.owned.at(-1) === token?.id) handOver(thread);
  },
  adoptUsed: (thread) =>
    adopt(
      thread,
      thread.world.tokens.find(({ isUsed }) => isUsed),
    ),
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

function adopt(thread: Thread, token: Token | undefined): void {
  if (token === undefined) return;
  const { id, generation, byteLength } = token;
  const { world } = thread;
  const status = thread.exports.adopt(id, generation);
  if (status !== Status.OK) {
    must(status === Status.USED_TOKEN, `adopt answered ${status}`);
    must(token.isUsed || world.mayBeGone(token), "a token that nobody has adopted is refused");
    return;
  }
  must(!token.isUsed, "a token was adopted twice, or after it was forgotten");
  must(world.words[world.recordOf(id) + BYTE_LENGTH] === byteLength, "the length of a token is not its own");
  token.isUsed = true;
  thread.owned.push(id);
}

/** Where a run begins, or what it ends in. */
export interface Moment {
  readonly words: Int32Array;
  readonly threads: readonly ThreadState[];
  readonly tokens: readonly Token[];
}

export class World {
  readonly memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  /** Z looks after all is over, and never dies. It started the others. */
  readonly threads: readonly Thread[];
  readonly words: Int32Array;
  tokens: Token[] = [];
  /** Threads in the middle of `forgetDead`. */
  forgetting = 0;
  readonly #Z: Thread;

  /** @param family each one's engine, and that of the thread that started it. @param slabs at first. */
  constructor(module: WebAssembly.Module, family: Record<string, readonly [number, number]>, slabs = SLABS) {
    const all = Object.entries({ Z: [1, 0] as const, ...family });
    this.threads = all.map(([name, [engine, parent]]) => new Thread(this, module, name, engine, parent));
    this.#Z = this.byName("Z");
    this.#Z.exports.create(SLABS);
    this.#Z.exports.setSlabs(slabs);
    this.words = new Int32Array(this.memory.buffer, 0, this.#Z.exports.bookBytes(SLABS) / 4);
    for (const thread of this.threads) thread.attach();
  }

  get dead(): Thread[] {
    return this.threads.filter(({ isDead }) => isDead);
  }

  get states(): number[] {
    return Array.from({ length: SLABS * BLOCKS_A_SLAB }, (_, id) => this.words[this.recordOf(id)] as number);
  }

  /** Index of a block's state in the words. */
  recordOf(id: number): number {
    return this.words.length - 4 * (SLABS * BLOCKS_A_SLAB - id);
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
    const tokens = this.tokens.map((token) => ({ ...token }));
    return { words: this.words.slice(), threads: this.threads.map(stateOf), tokens };
  }

  goTo({ words, threads, tokens }: Moment): void {
    this.words.set(words);
    this.tokens = tokens.map((token) => ({ ...token }));
    for (const [each, thread] of this.threads.entries()) {
      Object.assign(thread, stateOf(threads[each] as ThreadState));
      thread.exports.beThread(thread.serial);
    }
  }

  /** The same for the same moment. */
  key(): string {
    return this.words.join() + JSON.stringify([this.threads.map(stateOf), this.tokens]);
  }

  /** Once nobody is inside the module: the audit, and everything comes back. Z hears of the deaths of `ended`. */
  finish(ended: readonly Thread[], forgetsFirst: boolean): void {
    const { exports } = this.#Z;
    this.#checkOverlap();
    for (const { engine } of ended) exports.threadEnded(engine);
    this.#checkOverlap();
    this.#audit("after the sweep");
    for (const { serial, name, slot } of this.dead) {
      const held = this.states.filter((state) => (state & WHO) === serial);
      must(
        held.every((state) => state !== (OWNED | serial) && state !== (KEPT | serial)),
        `${name}, which is dead, still holds a block`,
      );
      // What it had handed over needs its entry; without that, whoever comes next can have it.
      const isListed = this.words[64 + 4 * slot + 1] === serial;
      must(held.length > 0 || !isListed, `${name}, which is dead and has nothing, is still in the table`);
    }
    if (forgetsFirst) {
      exports.forgetDead();
      for (const token of this.tokens) token.isUsed ||= this.byName(token.sender).isDead;
    }
    for (const token of this.tokens) adopt(this.#Z, token);
    for (const thread of this.threads) {
      while (!thread.isDead && thread.owned.length > 0) giveNewest(thread);
      while (!thread.isDead && thread.kept.length > 0) giveKept(thread);
    }
    exports.forgetDead();
    this.#audit("after all was given back");
    for (let slot = 1; slot <= ENTRIES; slot++) {
      const [engine, serial] = this.words.subarray(64 + 4 * slot);
      const of = this.threads.find((thread) => !thread.isDead && thread.slot === slot);
      must(engine === (of?.engine ?? 0) && serial === (of?.serial ?? 0), `slot ${slot} of the table is not right`);
    }
    for (let each = 0; exports.closeOne() !== 0; each++) must(each < SLABS, "a closed slab is closed again");
    must(exports.takeLong(SLABS) >= 0, "the slabs do not come back as one block");
    must(this.states.filter((state) => state !== 0).length === 1, "a block is lost");
  }

  #audit(when: string): void {
    const found = this.#Z.exports.audit();
    must(found === 0, `T${found >> 24} is broken at slab ${found & 0xffffff} ${when}`);
  }

  /** Promise 2, by the words themselves: nobody has the same quarter of a slab. */
  #checkOverlap(): void {
    const taken = new Set<number>();
    for (const { isDead, owned, kept, serial, name } of this.threads) {
      if (isDead) continue;
      for (const [each, id] of [...owned, ...kept].entries()) {
        const state = (each < owned.length ? OWNED : KEPT) | serial;
        must(this.words[this.recordOf(id)] === state, `block ${id} is not ${name}'s`);
        const [from, to] = this.#quartersOf(id);
        for (let quarter = from; quarter < to; quarter++) {
          must(!taken.has(quarter), `block ${id} overlaps another`);
          taken.add(quarter);
        }
      }
    }
  }

  #quartersOf(id: number): [number, number] {
    const slab = Math.floor(id / BLOCKS_A_SLAB);
    const word = this.words[this.#Z.exports.slabWord(slab) / 4] as number;
    const kind = word >>> 28;
    if (kind === LONG) return [4 * slab, 4 * (slab + (word & (2 ** 28 - 1)))];
    must(kind === OPEN || kind === CLOSING, `block ${id} is in a slab that is not open`);
    const quarters = ((word >> 23) & 31) === HALF ? 2 : 1;
    const from = 4 * slab + quarters * (id % BLOCKS_A_SLAB);
    return [from, from + quarters];
  }
}
