/** Draws the board's memories, a grid of slabs each, and the arena's figures. */

import type { ArenaStats } from "cleanslab";
import { type Board, type MemoryPicture, slabsOf } from "./board.ts";

const seen = new WeakMap<MemoryPicture, number>();

export function drawMemories(list: HTMLElement, board: Board): void {
  list.replaceChildren(...board.pictures.filter(({ kind, gone }) => kind !== "heap" || !gone).map(drawMemory));
}

export function drawFigures(list: HTMLElement, stats: ArenaStats): void {
  const figures: [string, string][] = [
    ["leases", `${stats.liveLeases}`],
    ["leased", kib(stats.liveBytes)],
    ["reserved", `${kib(stats.reservedBytes)} of ${kib(stats.maxBytes)}`],
    ["revocations", `${stats.revocations}`],
    ["on the heap", `${stats.overflowed}`],
    ["leaks found", `${stats.leakedLeases}`],
    ["stray writes", `${stats.strayWrites}`],
  ];
  list.replaceChildren(
    ...figures.map(([name, value]) => {
      const row = document.createElement("div");
      row.append(text("dt", name), text("dd", value));
      return row;
    }),
  );
}

function drawMemory(picture: MemoryPicture): HTMLElement {
  const { kind, number, gone, revoked, blocks } = picture;
  const item = document.createElement("li");
  item.className = `segment ${kind}${gone ? " gone" : ""}`;
  if (revoked > (seen.get(picture) ?? 0)) item.classList.add("revoked");
  seen.set(picture, revoked);
  const name = { segment: "Segment", "one-lease": "Memory of one lease", heap: "Heap buffer" }[kind];
  const heading = text("h3", `${name} ${number}`);
  const live = [...blocks].filter(({ state }) => state === "live").length;
  const state = gone || `${live} leased, revoked ${revoked}×`;
  heading.append(text("span", state));
  const slabs = document.createElement("div");
  slabs.className = "slabs";
  slabs.setAttribute("aria-hidden", "true");
  if (kind === "segment") slabs.append(drawTrap());
  slabs.append(...slabsOf(picture).map(drawSlab));
  item.append(heading, slabs);
  return item;
}

function drawTrap(): HTMLElement {
  const trap = document.createElement("div");
  trap.className = "slab trap";
  return trap;
}

function drawSlab(parts: Record<"live" | "resting" | "leaked", number>): HTMLElement {
  const slab = document.createElement("div");
  slab.className = "slab";
  let bottom = 0;
  for (const state of ["leaked", "live", "resting"] as const) {
    if (parts[state] === 0) continue;
    const part = document.createElement("i");
    part.className = state;
    part.style.bottom = `${bottom * 100}%`;
    part.style.height = `${parts[state] * 100}%`;
    bottom += parts[state];
    slab.append(part);
  }
  return slab;
}

export function text(tag: string, content: string): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = content;
  return element;
}

function kib(byteLength: number): string {
  return `${Math.round((byteLength / 1024) * 10) / 10} KiB`;
}
