/** The playground: ties the page's controls to the board, the stale views and the benchmark. */

import type { RevokeMode } from "cleanslab";
import { runBenchmark } from "./bench.ts";
import { Board } from "./board.ts";
import { drawFigures, drawMemories } from "./board-view.ts";
import { drawStaleViews } from "./stale.ts";

const controls = find("#controls", HTMLFormElement);
const log = find("#log", HTMLElement);

/** Objects of garbage made in one go, and how often at most. */
const GARBAGE_OBJECTS = 300_000;
const GARBAGE_ROUNDS = 60;

let board = newBoard();

function find<T extends Element>(selector: string, type: new () => T): T {
  const element = document.querySelector(selector);
  if (!(element instanceof type)) throw new Error(`the page has no ${selector}`);
  return element;
}

function newBoard(): Board {
  const mode = new FormData(controls).get("revoke") as RevokeMode;
  return new Board(mode, (text) => {
    draw();
    log.textContent = text;
  });
}

function draw(): void {
  board.look();
  drawMemories(find("#segments", HTMLElement), board);
  drawFigures(find("#figures", HTMLElement), board.stats);
}

function byteLength(): number {
  return Number(new FormData(controls).get("length"));
}

/** Gives the collector a reason to look: it comes when it pleases. */
async function makeGarbage(): Promise<string> {
  const before = board.stats.leakedLeases;
  // Lets go of segments with room left as well, so that nothing but the leases holds them.
  board.trim();
  let garbage: object[][] = [];
  for (let round = 0; round < GARBAGE_ROUNDS && board.stats.leakedLeases === before; round++) {
    // Kept for a while, so that it is old garbage: young garbage alone makes no engine look at old objects.
    if (round % 10 === 0) garbage = [];
    garbage.push(Array.from({ length: GARBAGE_OBJECTS }, (_, each) => ({ each })));
    await new Promise<void>((resolve) => setTimeout(resolve, 25));
  }
  const found = board.stats.leakedLeases - before;
  if (found > 0) return `The collector found ${found} leaked. Their bytes are back under the cap.`;
  return "The collector has not found a leak: there is none, or it has not looked. Try again.";
}

const actions: Record<string, () => string | Promise<string>> = {
  acquire: () => board.acquire(byteLength()),
  acquireMany: () => {
    let said = "";
    for (let each = 0; each < 20; each++) said = board.acquire(byteLength());
    return `${said} The last of 20.`;
  },
  releaseOldest: () => board.release(0),
  releaseRandom: () => board.release(Math.floor(Math.random() * board.held)),
  releaseAll: () => {
    const count = board.held;
    while (board.held > 0) board.release(board.held - 1);
    return `Released ${count} leases.`;
  },
  leak: () => board.leak(),
  strayWrite: () => board.strayWrite(),
  collect: makeGarbage,
  trim: () => board.trim(),
};

controls.addEventListener("click", async ({ target }) => {
  const button = target instanceof HTMLButtonElement ? target : undefined;
  const action = actions[button?.dataset["action"] ?? ""];
  if (button === undefined || action === undefined) return;
  const said = await action();
  draw();
  log.textContent = said;
});

controls.addEventListener("change", ({ target }) => {
  if (!(target instanceof HTMLInputElement)) return;
  board.dispose();
  board = newBoard();
  draw();
  log.textContent = `A new arena: a stale view dies ${target.value.replace("-", " ")}.`;
});
controls.addEventListener("submit", (event) => event.preventDefault());

find("#stale-run", HTMLButtonElement).addEventListener("click", () =>
  drawStaleViews(find("#stale tbody", HTMLElement)),
);

const measure = find("#bench-run", HTMLButtonElement);
measure.addEventListener("click", async () => {
  if (measure.ariaDisabled === "true") return;
  // Not disabled: that would take the focus away.
  measure.ariaDisabled = "true";
  const status = find("#bench-status", HTMLElement);
  try {
    await runBenchmark(find("#bench", HTMLElement), (text) => {
      status.textContent = text;
    });
  } finally {
    measure.ariaDisabled = "false";
  }
});

draw();
