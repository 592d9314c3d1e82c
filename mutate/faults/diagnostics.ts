/** In what tells of leases: channels, guards, call sites. */

import { type Fault, inFile } from "../fault.js";

export const DIAGNOSTICS: readonly Fault[] = [
  ...inFile(
    "src/channels.ts",
    ["test/diagnostics.test.ts"],
    [
      ["an acquire is not announced", "channels.acquire.publish({ arena, byteLength })", "undefined"],
      ["a release is not announced", "      channels.release.publish({ arena: this.#arena, byteLength });\n", ""],
      [
        "a release is announced before the lease has ended",
        "    return () => {\n      channels.release.publish({ arena: this.#arena, byteLength });\n",
        "    channels.release.publish({ arena: this.#arena, byteLength });\n    return () => {\n",
      ],
      ["an announced release loses its error", "      if (after !== undefined) bringAbout(after);\n", ""],
      ["who subscribes later hears nothing", "      for (const ref of listening) ref.deref()?.announce(true);\n", ""],
      ["an arena made later tells nobody", "  if (isAnnounced()) target.announce(true);\n", ""],
      [
        "who listens to releases alone hears nothing",
        "return channels.acquire.hasSubscribers || channels.release.hasSubscribers;",
        "return channels.acquire.hasSubscribers;",
      ],
    ],
  ),
  ...inFile(
    "src/countdown.ts",
    ["test/unit/trace.test.ts", "test/diagnostics.test.ts"],
    [
      [
        "guards come only once",
        "this.#guardIn = this.#guardEvery || NEVER_DUE;\n    if",
        "this.#guardIn = NEVER_DUE;\n    if",
      ],
      ["guards are not counted down", "    this.#guardIn -= this.#step;\n", ""],
      ["traces are not counted down", "    this.#traceIn -= this.#step;\n", ""],
      ["a change of tracing puts off the guards", "    this.#guardIn -= this.#step - this.left;\n", ""],
      ["leases stay due when nobody listens any more", "    this.#announced = on;\n", "    this.#announced = true;\n"],
      ["the end is not due", "    this.left = 1;\n", ""],
    ],
  ),
  ...inFile(
    "src/trace.ts",
    ["test/unit/trace.test.ts", "test/diagnostics.test.ts", "test/unit/events.test.ts"],
    [
      [
        "sites are not grouped",
        "const site = sites.get(stack) ?? { leases: 0, byteLength: 0, stack };",
        "const site = { leases: 0, byteLength: 0, stack };",
      ],
      ["sites are in the wrong order", "b.byteLength - a.byteLength", "a.byteLength - b.byteLength"],
      [
        "a lost lease is not reported",
        "if (this.#watches.delete(watch)) this.#onLost(watch.tally, watch.byteLength, group([watch]));",
        "this.#watches.delete(watch);",
      ],
      [
        "a lost lease with a memory of its own is reported twice",
        'if (this.#registers && owner.tally.kind === "segment") this.#lost.register',
        "if (this.#registers) this.#lost.register",
        "whichever is told first writes the lease off, and the other finds nothing live",
      ],
      [
        "a released lease is still watched by the collector",
        "    if (this.#registers) this.#lost.unregister(watch);\n",
        "",
        "who is no longer among the watched is not reported; unregistering only spares the callback",
      ],
      [
        "a released lease stays among those out",
        "    this.#watches.delete(watch);\n    if (this.#registers)",
        "    if (this.#registers)",
      ],
      ["an untrue written passes", "    if (changed >= 0) {\n", "    if (false) {\n"],
      [
        "a stale write is blamed on whoever was before it in memory",
        "watch.ptr <= byteOffset && byteOffset < watch.ptr + watch.byteLength",
        "watch.ptr <= byteOffset",
      ],
      ["who waited is not named", "    this.#waitingCallSite = callSite;\n", ""],
      ["who waited is named for others", "      this.#waitingCallSite = undefined;\n", ""],
      ["a collected memory's sites stay", "    for (const watch of lost) this.#watches.delete(watch);\n", ""],
    ],
  ),
];
