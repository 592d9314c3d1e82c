/** One view kept past its release in each mode, and what it reads from then on. */

import { Arena, type RevokeMode } from "cleanslab";
import { text } from "./board-view.ts";

const BYTES = 1024;
const MODES: readonly RevokeMode[] = ["before-reuse", "on-release", "never"];

/** What `stale` shows a reader. */
function read(stale: Uint8Array): string {
  return stale.length === 0 ? "dead" : String(stale[0]);
}

/** What the kept view reads while it is ours, once released, and once others had the memory. */
function tryMode(revoke: RevokeMode): [string, string, string] {
  const arena = new Arena({ revoke });
  const lease = arena.acquire(BYTES);
  const stale = lease.bytes.fill(7);
  const mine = read(stale);
  lease.release();
  const released = read(stale);
  let later = released;
  for (let others = 0; others < 5000 && later !== "9" && later !== "dead"; others++) {
    const next = arena.acquire(BYTES);
    next.bytes.fill(9);
    later = read(stale);
    next.release();
  }
  arena[Symbol.dispose]();
  return [mine, released, later];
}

export function drawStaleViews(body: HTMLElement): void {
  body.replaceChildren(
    ...MODES.map((revoke) => {
      const row = document.createElement("tr");
      const head = text("th", revoke);
      head.setAttribute("scope", "row");
      row.append(head, ...tryMode(revoke).map(drawCell));
      return row;
    }),
  );
}

function drawCell(value: string): HTMLElement {
  const meaning: Record<string, string> = { dead: "dead: length 0", "9": "9, somebody else’s" };
  const cell = text("td", meaning[value] ?? value);
  if (value === "dead") cell.className = "good";
  if (value === "9") cell.className = "bad";
  return cell;
}
