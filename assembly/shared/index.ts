/**
 * The shared book: one instance in each thread, over one shared memory. It knows slabs,
 * blocks and threads, and touches nobody's bytes. Addresses are the bindings' business.
 */

export { audit } from "./audit";
export { create, setSlabs, slabs } from "./layout";
export { adopt, closeOne, give, handOver, take, takeLong } from "./slabs";
export { attach, count, forgetDead, leave, threadEnded } from "./threads";

import { me } from "./layout";

/** The number that this thread's words are signed with. */
export function serial(): i32 {
  return me;
}
