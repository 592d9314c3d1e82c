/** Who wakes whom in a channel: every interleaving of ring.ts's two ends, and what it would be with a fault. */

import { expect, test } from "vitest";
import { type Change, explore, loadRing, type Plan } from "./interleave.ts";

const PLANS: readonly Plan[] = [
  { capacity: 1, messages: 3 },
  { capacity: 2, messages: 3 },
  { capacity: 1, messages: 3, quitsAfter: 1 },
];

test("no interleaving loses a wake-up or a message", async () => {
  const ring = await loadRing([]);
  const states = PLANS.map((plan) => explore(ring, plan));
  console.log(`ring: ${states.join(", ")} states`);
  for (const count of states) expect(count).toBeGreaterThan(2000);
});

const ANNOUNCE_RECEIVER = "    write(words, WAKE_RECEIVER, (this.#tail + 1) & POSITION);\n";
const ANNOUNCE_SENDER = "    write(words, WAKE_SENDER, (tail + Math.max(1, this.#capacity >> 1)) & POSITION);\n";
const MOVE_HEAD = "    write(words, HEAD, this.#head);\n";
const MOVE_TAIL = "      write(words, TAIL, this.#tail | this.#done);\n";
const LOOK_FOR_RECEIVER = "    if (read(words, WAKE_RECEIVER) === this.#head) wake(words, HEAD);\n";
const LOOK_FOR_SENDER = "      if (read(words, WAKE_SENDER) === this.#tail) wake(words, TAIL);\n";

test.each<[fault: string, finds: RegExp, changes: readonly Change[]]>([
  [
    "flags that the one who wakes clears, in the place of positions",
    /lost wake-up/,
    [
      [ANNOUNCE_SENDER, "write(words, WAKE_SENDER, 1);"],
      [ANNOUNCE_RECEIVER, "write(words, WAKE_RECEIVER, 1);"],
      [LOOK_FOR_RECEIVER, "if (swap(words, WAKE_RECEIVER, 1, 0)) wake(words, HEAD);"],
      [LOOK_FOR_SENDER, "if (swap(words, WAKE_SENDER, 1, 0)) wake(words, TAIL);"],
      ["import { block,", "import { block, swap,"],
    ],
  ],
  [
    "a sender that compares before it moves",
    /lost wake-up/,
    [[MOVE_HEAD + LOOK_FOR_RECEIVER, LOOK_FOR_RECEIVER + MOVE_HEAD]],
  ],
  [
    "a receiver that compares before it moves",
    /lost wake-up/,
    [[MOVE_TAIL + LOOK_FOR_SENDER, LOOK_FOR_SENDER + MOVE_TAIL]],
  ],
  ["a receiver that says nothing", /lost wake-up/, [[ANNOUNCE_RECEIVER, ""]]],
  ["a sender that says nothing", /lost wake-up/, [[ANNOUNCE_SENDER, ""]]],
  [
    "a receiver that waits for the message after the next",
    /lost wake-up/,
    [["(this.#tail + 1) & POSITION);\n    return true;", "(this.#tail + 2) & POSITION);\n    return true;"]],
  ],
  [
    "a sender that closes and wakes nobody",
    /lost wake-up/,
    [["this.#head | DONE);\n    wake(this.words, HEAD);", "this.#head | DONE);"]],
  ],
  ["a receiver that is done, and says so no more when it moves", /./, [["this.#tail | this.#done", "this.#tail"]]],
  [
    "a sender that does not look whether it came too late",
    /is lost/,
    [["return (read(words, TAIL) & DONE) === 0;", "return true;"]],
  ],
  [
    "a message that is written after the head moved",
    /came with/,
    [
      ["    words[at + 2] = tag;\n", ""],
      [MOVE_HEAD, `${MOVE_HEAD}    words[at + 2] = tag;\n`],
    ],
  ],
  [
    "a slot that is free before it was read",
    /came with|is lost/,
    [
      [
        "      const received = receive(",
        `      write(words, TAIL, (this.#tail + 1) & POSITION | this.#done);\n      const received = receive(`,
      ],
    ],
  ],
])("the interleavings find %s", async (_, finds, changes) => {
  const ring = await loadRing(changes);
  expect(() => PLANS.map((plan) => explore(ring, plan))).toThrow(finds);
});
