/** What advice rests on: figures of this machine, measured in seconds by the method of bench/. */

import { type Batch, measure } from "../../bench/harness.ts";
import { leaseCycle } from "../../bench/lease-cycle.ts";
import { loadLibrary } from "../../bench/library.ts";
import type { Measurement } from "../../bench/question.ts";

/** All in nanoseconds. */
export interface Figures {
  /** One buffer taken, its first byte written, given back. Shortest first. */
  cycles: Cycle[];
  /** The same with `TOUCHED_BYTES` written, whatever the length. */
  touches: Touch[];
}

export interface Cycle {
  byteLength: number;
  fresh: number;
  arrayPool: number;
  beforeReuse: number;
  /** In `"never"` mode, through `acquire` and through `pool()`. */
  never: number;
  neverPool: number;
}

export interface Touch {
  byteLength: number;
  fresh: number;
  /** `release()`. */
  beforeReuse: number;
  /** `release({ written })`. */
  beforeReuseWritten: number;
  neverWritten: number;
}

export const TOUCHED_BYTES = 16;
const TOUCH_LENGTHS = [4096, 65_536, 1_048_576];

export async function measureHere(progress: (share: number) => void): Promise<Figures> {
  const measurements = await leaseCycle.run({ quick: true, progress: (share) => progress(share * 0.7) });
  const touches: Touch[] = [];
  for (const [done, byteLength] of TOUCH_LENGTHS.entries()) {
    touches.push(await measureTouch(byteLength));
    progress(0.7 + (0.3 * (done + 1)) / TOUCH_LENGTHS.length);
  }
  return { cycles: toCycles(measurements), touches };
}

const RIVALS: Readonly<Record<Exclude<keyof Cycle, "byteLength">, string>> = {
  fresh: "new Uint8Array",
  arrayPool: "array pool, fill(0)",
  beforeReuse: "before-reuse, acquire",
  never: "never, acquire",
  neverPool: "never, pool",
};

function toCycles(measurements: readonly Measurement[]): Cycle[] {
  const lengths = [...new Set(measurements.map(({ at }) => Number(at["byteLength"])))].sort((a, b) => a - b);
  return lengths.map((byteLength) => {
    const nsOf = (name: keyof typeof RIVALS): number => {
      const rival = RIVALS[name];
      const found = measurements.find((each) => each.rival === rival && each.at["byteLength"] === byteLength);
      if (found === undefined) throw new Error(`lease-cycle has no figure for "${rival}" at ${byteLength} bytes`);
      return found.value;
    };
    return {
      byteLength,
      fresh: nsOf("fresh"),
      arrayPool: nsOf("arrayPool"),
      beforeReuse: nsOf("beforeReuse"),
      never: nsOf("never"),
      neverPool: nsOf("neverPool"),
    };
  });
}

async function measureTouch(byteLength: number): Promise<Touch> {
  const rivals = {
    fresh: freshTouch(byteLength),
    beforeReuse: await leaseTouch("before-reuse", byteLength, "lease.release()"),
    beforeReuseWritten: await leaseTouch("before-reuse", byteLength, `lease.release({ written: ${TOUCHED_BYTES} })`),
    neverWritten: await leaseTouch("never", byteLength, `lease.release({ written: ${TOUCHED_BYTES} })`),
  };
  const figures = measure(rivals, { operations: byteLength > 100_000 ? 20 : 200, rounds: 10 });
  const nsOf = (name: keyof typeof rivals): number => figures[name]?.ns ?? Number.NaN;
  return {
    byteLength,
    fresh: nsOf("fresh"),
    beforeReuse: nsOf("beforeReuse"),
    beforeReuseWritten: nsOf("beforeReuseWritten"),
    neverWritten: nsOf("neverWritten"),
  };
}

function freshTouch(byteLength: number): Batch {
  return (operations) => {
    let sum = 0;
    for (let each = 0; each < operations; each++) {
      const bytes = new Uint8Array(byteLength);
      for (let at = 0; at < TOUCHED_BYTES; at++) bytes[at] = each;
      sum += bytes[TOUCHED_BYTES - 1] as number;
    }
    return sum;
  };
}

/** A loop of its own on a copy of the library of its own, for the reason given in bench/library.ts. */
async function leaseTouch(revoke: "before-reuse" | "never", byteLength: number, release: string): Promise<Batch> {
  const { Arena } = await loadLibrary(`advise, ${revoke}, ${release}`);
  const loop = new Function(
    "arena",
    "byteLength",
    "operations",
    `let sum = 0;
     for (let each = 0; each < operations; each++) {
       const lease = arena.acquire(byteLength);
       const { bytes } = lease;
       for (let at = 0; at < ${TOUCHED_BYTES}; at++) bytes[at] = each;
       sum += bytes[${TOUCHED_BYTES - 1}];
       ${release};
     }
     return sum;`,
  );
  const arena = new Arena({ revoke, trace: "off" });
  return (operations) => loop(arena, byteLength, operations);
}
