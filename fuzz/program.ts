/**
 * Random programs as data: which steps there are, how often they come, and the
 * options of the arena that they run on. Knows neither arena nor model.
 */

import type { ArenaOptions, RevokeMode } from "cleanslab";
import fc from "fast-check";

export const MODES: readonly RevokeMode[] = ["before-reuse", "on-release", "never"];

export const PAGE_BYTES = 65536;
const SHORTEST_SEGMENT = 256 * 1024;

/** What a listener does when it is told of anything. */
export const REACTIONS = ["nothing", "acquire", "trim", "audit", "throw", "dispose"] as const;
export type Reaction = (typeof REACTIONS)[number];

/** Every kind of step, with the ways in which it can be done. */
export const STEPS = {
  acquire: ["acquire", "pool", "copyOf"],
  acquireInScope: ["acquire", "bytes"],
  acquireAsync: ["without signal", "with signal", "aborted"],
  abort: [""],
  use: ["returns", "throws", "nests", "resolves later"],
  settle: ["fulfilled", "rejected"],
  release: ["release", "dispose", "written", "understated"],
  pin: [""],
  unpin: [""],
  releaseAfter: [""],
  closeScope: ["release", "dispose"],
  view: ["DataView", "Uint16Array", "Float64Array", "BigUint64Array"],
  copy: [""],
  write: ["take", "release", "dispose"],
  staleWrite: [""],
  bufferWrite: [""],
  damage: ["bytes", "number", "copy", "fill"],
  useEnded: ["release", "bytes", "view", "copy", "pin", "releaseAfter", "dispose"],
  badArgument: [""],
  setTrace: ["off", "sampled", "all"],
  trim: [""],
  check: [""],
  leak: [""],
  collect: [""],
  dispose: [""],
} as const;

export type StepName = keyof typeof STEPS;
export const STEP_NAMES = Object.keys(STEPS) as StepName[];

/** One shape for all: what a step does not need is 0. */
export interface Step {
  readonly do: StepName;
  /** Index into the ways of the step. */
  readonly way: number;
  /** Of `damage`: the address. */
  readonly byteLength: number;
  /** Which of the things at hand, modulo how many there are. */
  readonly pick: number;
  /** How often in a row: fills and drains arenas, which single steps would not. */
  readonly times: number;
}

export interface Program {
  readonly options: ArenaOptions & { readonly maxBytes: number; readonly segmentBytes: number };
  readonly reaction: Reaction;
  readonly steps: readonly Step[];
}

const byteLength = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 300 }) },
  { weight: 6, arbitrary: fc.integer({ min: 300, max: 5000 }) },
  { weight: 2, arbitrary: fc.integer({ min: 5000, max: 70_000 }) },
  { weight: 3, arbitrary: fc.constantFrom(64, 65, 128, 1024, 4096, 16_384, 49_152, PAGE_BYTES) },
);
/** Few of them: filling a megabyte takes as long as a hundred other steps. */
const longByteLength = fc.oneof(
  fc.integer({ min: 70_000, max: 400_000 }),
  fc.constantFrom(SHORTEST_SEGMENT, SHORTEST_SEGMENT + 1, 4 * SHORTEST_SEGMENT),
);

/** Weights are whole numbers, and the rarest step is this many times as rare as the unit below. */
const WEIGHT_UNIT = 50;

interface Shape {
  byteLength?: fc.Arbitrary<number>;
  /** Repeated up to this many times. */
  times?: number;
}

function step(weight: number, name: StepName, { byteLength = fc.constant(0), times = 1 }: Shape = {}) {
  return {
    weight: weight * WEIGHT_UNIT,
    arbitrary: fc.record<Step>({
      do: fc.constant(name),
      way: fc.nat(STEPS[name].length - 1),
      byteLength,
      // Mostly the oldest or anyone; the youngest is as likely as its number.
      pick: fc.oneof(fc.constant(0), fc.nat({ max: 1000 }), fc.constant(-1)),
      times: fc.integer({ min: 1, max: times }),
    }),
  };
}

const soundSteps = [
  step(24, "acquire", { byteLength, times: 4 }),
  step(7, "acquire", { byteLength: fc.integer({ min: 0, max: 3000 }), times: 60 }),
  step(2, "acquire", { byteLength: longByteLength }),
  step(16, "acquireInScope", { byteLength, times: 4 }),
  step(5, "acquireInScope", { byteLength: fc.integer({ min: 0, max: 3000 }), times: 60 }),
  step(1, "acquireInScope", { byteLength: longByteLength }),
  step(5, "acquireAsync", { byteLength, times: 3 }),
  step(2, "abort"),
  step(8, "use", { byteLength, times: 3 }),
  step(6, "settle", { times: 4 }),
  step(40, "release", { times: 6 }),
  step(14, "release", { times: 90 }),
  step(4, "pin", { times: 2 }),
  step(5, "unpin", { times: 3 }),
  step(2, "releaseAfter"),
  step(3, "closeScope"),
  step(8, "view"),
  step(4, "copy"),
  step(4, "write", { byteLength, times: 2 }),
  step(10, "staleWrite", { times: 4 }),
  step(3, "bufferWrite", { times: 4 }),
  step(5, "useEnded"),
  step(4, "badArgument"),
  step(0.1, "setTrace"),
  step(1, "trim"),
  step(1, "check"),
  step(1, "leak", { times: 2 }),
  step(0.02, "collect"),
  step(0.2, "dispose"),
];
const soundStep: fc.Arbitrary<Step> = fc.oneof(...soundSteps);

/** Class heads and slab records more often than the links behind them. */
const address = fc.oneof(fc.nat(127), fc.nat(2175), fc.nat(12_287), fc.nat(PAGE_BYTES - 1));
const hostileStep: fc.Arbitrary<Step> = fc.oneof(...soundSteps, step(8, "damage", { byteLength: address }));

function optionsFor(revoke: RevokeMode) {
  return fc
    .record({
      segmentBytes: fc.constantFrom(1, 1, 1, 2, 4),
      segments: fc.constantFrom(1, 2, 3, 6),
      onExhausted: fc.constantFrom("allocate" as const, "throw"),
      guardEvery: fc.constantFrom(0, 0, 0, 1, 2, 7, 50),
      trace: fc.constantFrom("off" as const, "off", "off", "off", "off", "off", "sampled", "all"),
    })
    .map(({ segmentBytes, segments, ...rest }) => ({
      revoke,
      segmentBytes: segmentBytes * SHORTEST_SEGMENT,
      maxBytes: segments * (segmentBytes * SHORTEST_SEGMENT + PAGE_BYTES),
      ...rest,
    }));
}

/**
 * Programs for one mode; the listeners react in one of `reactions`. In hostile
 * ones someone writes over the bookkeeping, too.
 */
export function programs(
  revoke: RevokeMode,
  { reactions, maxSteps, hostile }: { reactions: readonly Reaction[]; maxSteps: number; hostile: boolean },
): fc.Arbitrary<Program> {
  return fc.record({
    options: optionsFor(revoke),
    reaction: fc.constantFrom(...reactions),
    steps: fc.array(hostile ? hostileStep : soundStep, { minLength: 1, maxLength: maxSteps, size: "max" }),
  });
}
