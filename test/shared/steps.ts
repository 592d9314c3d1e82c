/**
 * Every operation from every set-up of a few operations, with other threads' operations and
 * deaths at each of its shared accesses. Owns which runs there are; what must hold is world.ts's.
 * An operation in the middle of another is over before that goes on: what takes two that overlap,
 * neither inside the other, is left to the kill test.
 */

import { type Access, die, type Moment, OPERATIONS, type Operation, type Plan, type Thread, World } from "./world.ts";

/** One operation, and what happens in the middle of it. */
interface Act {
  readonly who: Thread;
  readonly does: string;
  /** Before which access of the operation around it, from 1. */
  readonly at?: number;
  /** Before which of its own accesses the thread dies; past the last: after the operation. */
  readonly diesAt?: number;
  /** In the order of `at`. */
  readonly meanwhile?: readonly Act[];
}

interface SetUp {
  readonly acts: readonly Act[];
  readonly moment: Moment;
}

export interface Counts {
  setUps: number;
  runs: number;
  deaths: number;
  /** Different moments in which the runs ended: what must hold is looked at in each. */
  ends: number;
}

const NAMES = Object.keys(OPERATIONS);
/** What makes no set-up that others do not make. */
const NO_SET_UP = ["rejoin", "relong", "adoptUsed", "giveOthers"];

/** The runs on one module. Each method throws an error that names the run in which something did not hold. */
export class Steps {
  readonly counts: Counts = { setUps: 0, runs: 0, deaths: 0, ends: 0 };
  readonly #world: World;
  readonly #A: Thread;
  readonly #B: Thread;
  readonly #C: Thread;
  readonly #setUps: readonly SetUp[];
  readonly #ends = new Set<string>();
  /** Accesses of the last operation in the middle of another. */
  #heard: readonly Access[] = [];

  /** @param depth operations in the longest set-up. */
  constructor(module: WebAssembly.Module, depth: number) {
    this.#world = new World(module, { A: [2, 1], B: [3, 1], C: [4, 1] });
    [this.#A, this.#B, this.#C] = ["A", "B", "C"].map((name) => this.#world.byName(name)) as [Thread, Thread, Thread];
    this.#setUps = this.#reach(depth);
    this.counts.setUps = this.#setUps.length;
  }

  /**
   * Each operation of A's, and in the middle of it: A's death; another thread's operation, whole or
   * ended by a death at each of its accesses, and swept or not; and after such an operation, or in
   * the middle of it, A's death or one of C's operations. Left out is what can change nothing,
   * because no access that comes before it instead of after has anything to do with it.
   *
   * @param depth operations in the longest set-up.
   * @param isDeep whether with a second event.
   */
  all(depth: number, isDeep: boolean): void {
    for (const setUp of this.#setUps) {
      if (setUp.acts.length <= depth) for (const does of NAMES) this.#allOf(setUp, { who: this.#A, does }, isDeep);
    }
  }

  #allOf(setUp: SetUp, A: Act, isDeep: boolean): void {
    const alone = this.#run(setUp, A);
    for (const diesAt of deathsIn(alone, 1)) this.#run(setUp, { ...A, diesAt });
    const hasDead = setUp.acts.some(({ diesAt }) => diesAt !== undefined);
    for (const does of NAMES) {
      this.#atEach(alone, 1, { who: hasDead ? this.#C : this.#B, does, at: 1 }, (act) => {
        const events = [act];
        const own = this.#run(setUp, { ...A, meanwhile: events });
        const others = this.#heard;
        for (const diesAt of deathsIn(others, 1)) {
          this.#run(setUp, { ...A, meanwhile: [{ ...act, diesAt }] });
          const sweep = { who: this.#C, does: "sweep", at: act.at };
          if (!hasDead) this.#run(setUp, { ...A, meanwhile: [{ ...act, diesAt }, sweep] });
        }
        for (const diesAt of deathsIn(own, act.at)) this.#run(setUp, { ...A, meanwhile: events, diesAt });
        if (isDeep && !hasDead && others.length > 0) this.#second(setUp, A, act, own, others);
        return others;
      });
    }
  }

  #second(setUp: SetUp, A: Act, act: Act & { at: number }, own: readonly Access[], others: readonly Access[]): void {
    for (const does of NAMES) {
      this.#atEach(own, act.at, { who: this.#C, does, at: 1 }, (third) => {
        this.#run(setUp, { ...A, meanwhile: [act, third] });
        return this.#heard;
      });
      this.#atEach(others, 1, { who: this.#C, does, at: 1 }, (third) => {
        this.#run(setUp, { ...A, meanwhile: [{ ...act, meanwhile: [third] }] });
        return this.#heard;
      });
    }
  }

  /**
   * Calls `run` with the act at the first access from `from` on, and then wherever the access before
   * has to do with what the act did the last time: `run` answers its accesses.
   */
  #atEach(
    around: readonly Access[],
    from: number,
    act: Act,
    run: (act: Act & { at: number }) => readonly Access[],
  ): void {
    let last: readonly Access[] | undefined;
    for (let at = from; at <= around.length; at++) {
      const before = around[at - 2] as Access;
      if (last !== undefined && !last.some(({ pair, changed }) => pair === before.pair && (changed || before.changed)))
        continue;
      last = run({ ...act, at });
      // Nothing was there to do.
      if (last.length === 0) return;
    }
  }

  /** Every different moment after up to `depth` operations of A and B, of which one of B's may end with its death. */
  #reach(depth: number): SetUp[] {
    const found: SetUp[] = [{ acts: [], moment: this.#world.now() }];
    const seen = new Set([this.#world.key()]);
    const reachBy = ({ acts, moment }: SetUp, act: Act): readonly Access[] => {
      this.#world.goTo(moment);
      const accesses = this.#perform(act);
      const key = this.#world.key();
      if (!seen.has(key)) found.push({ acts: [...acts, act], moment: this.#world.now() });
      seen.add(key);
      return accesses;
    };
    // The list grows meanwhile.
    for (const setUp of found) {
      if (setUp.acts.length === depth) continue;
      for (const does of NAMES.filter((name) => !NO_SET_UP.includes(name))) {
        reachBy(setUp, { who: this.#A, does });
        if (setUp.acts.some(({ diesAt }) => diesAt !== undefined)) continue;
        const accesses = reachBy(setUp, { who: this.#B, does });
        for (const diesAt of [1, ...deathsIn(accesses, 1)]) reachBy(setUp, { who: this.#B, does, diesAt });
      }
    }
    return found;
  }

  /** Answers A's accesses. */
  #run(setUp: SetUp, act: Act): readonly Access[] {
    const world = this.#world;
    world.goTo(setUp.moment);
    return named(
      () => [...setUp.acts, act].map(tell).join("; "),
      () => {
        const accesses = this.#perform(act);
        this.counts.runs++;
        this.counts.deaths += world.dead.length;
        const key = world.key();
        if (this.#ends.has(key)) return accesses;
        this.#ends.add(key);
        this.counts.ends++;
        const end = world.now();
        world.finish(world.dead, false);
        world.goTo(end);
        world.finish(world.dead, true);
        return accesses;
      },
    );
  }

  #perform({ who, does, diesAt, meanwhile = [] }: Act): readonly Access[] {
    // A thread does nothing once it is dead, or while it is in the middle of something.
    if (who.isDead || who.isBusy) return [];
    const plans: Plan[] = meanwhile.map((act) => ({
      at: act.at as number,
      run: () => {
        this.#heard = this.#perform(act);
      },
    }));
    if (diesAt !== undefined) plans.push({ at: diesAt, run: die });
    const accesses = who.run(
      OPERATIONS[does] as Operation,
      plans.sort((one, other) => one.at - other.at),
    );
    if (diesAt !== undefined) who.isDead = true;
    return accesses;
  }
}

/** Before which accesses from `from` on a death makes a difference: after each change. */
function deathsIn(accesses: readonly Access[], from: number): number[] {
  return accesses.flatMap(({ changed }, each) => (changed && each + 2 > from ? [each + 2] : []));
}

/**
 * A thread dies, and so do the one that sweeps it, and the one that sweeps that, before each of
 * their accesses; the last one hears of the eldest only. Answers how many runs that were.
 */
export function families(module: WebAssembly.Module): number {
  let runs = 0;
  for (const family of [
    { P: [2, 1], S: [3, 2], D: [4, 3] },
    { D: [4, 3], S: [3, 2], P: [2, 1] },
  ] as const) {
    const world = new World(module, family);
    const [P, S, D] = ["P", "S", "D"].map((name) => world.byName(name)) as [Thread, Thread, Thread];
    for (const thread of [P, S, D]) thread.run(OPERATIONS["takeHalf"] as Operation);
    for (const does of ["takeTwo", "handOver"]) D.run(OPERATIONS[does] as Operation);
    D.isDead = true;
    const moment = world.now();
    /** Whether the sweep was over before the death. */
    const sweepAndDie = (who: Thread, engine: number, at: number): boolean => {
      who.run(({ exports }) => exports.threadEnded(engine), [{ at, run: die }]);
      const isOver = !who.isDead;
      who.isDead = true;
      return isOver;
    };
    for (let one = 1, isOneOver = false; !isOneOver; one++) {
      for (let two = 1, isTwoOver = false; !isTwoOver; two++) {
        world.goTo(moment);
        isOneOver = sweepAndDie(S, D.engine, one);
        isTwoOver = sweepAndDie(P, S.engine, two);
        named(
          () => `S dies at ${one} of sweeping D, P at ${two} of sweeping S`,
          () => world.finish([P], false),
        );
        runs++;
      }
    }
  }
  return runs;
}

/** Two threads say at once how long the memory is. Answers how many runs that were. */
export function growth(module: WebAssembly.Module): number {
  for (let at = 1; ; at++) {
    const world = new World(module, { A: [2, 1], B: [3, 1] }, 2);
    const B = world.byName("B");
    const { length } = world
      .byName("A")
      .run(({ exports }) => exports.setSlabs(3), [{ at, run: () => B.exports.setSlabs(4) }]);
    if (length < at) return at - 1;
    named(
      () => `B says 4 slabs at ${at} of A's 3`,
      () => world.finish([], false),
    );
  }
}

function named<T>(run: () => string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new Error(`${run()}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

function tell({ who, does, at, diesAt, meanwhile = [] }: Act): string {
  const inside = meanwhile.map(tell).join("; ");
  return [
    at === undefined ? "" : `at ${at} `,
    `${who.name} ${does}`,
    inside === "" ? "" : ` (${inside})`,
    diesAt === undefined ? "" : ` and dies at ${diesAt}`,
  ].join("");
}
