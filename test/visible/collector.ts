/** The garbage collector, asked. Whether it comes is up to the engine: ask in a bounded loop. */

import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const MAX_ROUNDS = 30;

/** Collects until `isDone`, or for as long as it is worth; what weak references show is settled by then. */
export async function collectUntil(isDone: () => boolean): Promise<void> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    await sleep(1); // a WeakRef holds what it showed until the job ends
    collect();
    await sleep(1); // finalizers
    if (isDone()) return;
  }
}

/** Once, so that what one probe dropped does not burden the next. */
export function tidy(): void {
  collect();
}
