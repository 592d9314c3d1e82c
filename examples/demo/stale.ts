/** What a view sees that was kept past its release. The words follow from what is seen; nothing here knows a promise. */

import { Arena, type RevokeMode } from "cleanslab";
import type { Table } from "../../bench/question.ts";

const BYTE_LENGTH = 4096;
/** Whoever has not handed the memory out again by then never will. */
const MOST_OWNERS = 20_000;
const SECRET = 7;
const NEXT = 9;
const SCRIBBLE = 0xee;

interface Loan {
  readonly bytes: Uint8Array;
  release(): void;
}

type Lend = () => Loan;

function arrayPool(): Lend {
  const idle: Uint8Array[] = [];
  return () => {
    const bytes = idle.pop() ?? new Uint8Array(BYTE_LENGTH);
    return { bytes, release: () => void idle.push(bytes) };
  };
}

function leases(revoke: RevokeMode): Lend {
  const arena = new Arena({ revoke, maxBytes: 4 * 2 ** 20 });
  return () => arena.acquire(BYTE_LENGTH);
}

const LENDERS: Readonly<Record<string, Lend>> = {
  "new Uint8Array": () => ({ bytes: new Uint8Array(BYTE_LENGTH), release: () => {} }),
  "array pool, no wiping": arrayPool(),
  "before-reuse": leases("before-reuse"),
  "on-release": leases("on-release"),
  never: leases("never"),
};

function watch(lend: Lend): string[] {
  const first = lend();
  const stale = first.bytes.fill(SECRET);
  first.release();
  const atRelease = describe(stale);
  let got = "–";
  for (let owners = 1; owners <= MOST_OWNERS; owners++) {
    const next = lend();
    got = describe(next.bytes);
    next.bytes.fill(NEXT);
    const seen = describe(stale);
    if (seen !== atRelease || seen === "dead") {
      const wrote = write(stale, next.bytes);
      next.release();
      return [atRelease, `${seen}, after ${owners}`, got, wrote];
    }
    next.release();
  }
  return [atRelease, `${describe(stale)}, for good`, got, "stays in it"];
}

function describe(view: Uint8Array): string {
  if (view.length === 0) return "dead";
  const words: Readonly<Record<number, string>> = {
    0: "zeros",
    [SECRET]: "the secret",
    [NEXT]: "the next owner's bytes",
  };
  const [first = 0] = view;
  return view.every((byte) => byte === first) ? (words[first] ?? `all ${first}`) : "bytes of several owners";
}

function write(stale: Uint8Array, next: Uint8Array): string {
  stale[0] = SCRIBBLE;
  return next[0] === SCRIBBLE ? "changes the next owner's bytes" : "is lost";
}

export function staleViews(): Table {
  return {
    title: "A view of a secret, kept past its release",
    head: ["", "shows right after", "and once others had buffers", "they got", "a write through it"],
    rows: Object.entries(LENDERS).map(([name, lend]) => [name, ...watch(lend)]),
  };
}
