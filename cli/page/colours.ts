/**
 * Who has which colour, the same in every chart: the three modes strong, what
 * they are measured against muted. Light and dark as custom properties, so that
 * one drawing serves both.
 */

const PALETTE: readonly { starts: string; name: string; light: string; dark: string }[] = [
  { starts: "before-reuse", name: "before-reuse", light: "#1d4ed8", dark: "#6ea8fe" },
  { starts: "on-release", name: "on-release", light: "#7e22ce", dark: "#c59bff" },
  { starts: "never", name: "never", light: "#047857", dark: "#3ddba0" },
  { starts: "new Uint8Array", name: "fresh", light: "#4b5563", dark: "#b6bec9" },
  { starts: "Buffer.allocUnsafe", name: "unsafe", light: "#b45309", dark: "#f5a953" },
  { starts: "Buffer.alloc", name: "alloc", light: "#8a7a5c", dark: "#cdbb97" },
  { starts: "array pool", name: "array-pool", light: "#be185d", dark: "#f683b8" },
  { starts: "@thi.ng/malloc", name: "malloc", light: "#6b6b00", dark: "#d3cf4e" },
  { starts: "floor", name: "floor", light: "#9ca3af", dark: "#6b7280" },
];
const OTHERS: typeof PALETTE = [
  { starts: "", name: "other-1", light: "#0e7490", dark: "#56c5dc" },
  { starts: "", name: "other-2", light: "#9f3412", dark: "#f29a78" },
  { starts: "", name: "other-3", light: "#475569", dark: "#9fb0c7" },
];

/** As a CSS colour. */
export function colourOf(rival: string): string {
  const known = PALETTE.find(({ starts }) => rival.startsWith(starts));
  return `var(--${(known ?? OTHERS[hash(rival) % OTHERS.length])?.name})`;
}

export const SOLID = "none";
const DASHES = [SOLID, "6 3", "2 3", "9 3 2 3"];

/** For each rival the dash that tells it from those of the same colour. */
export function dashesOf(rivals: readonly string[]): Map<string, string> {
  const used = new Map<string, number>();
  return new Map(
    rivals.map((rival) => {
      const before = used.get(colourOf(rival)) ?? 0;
      used.set(colourOf(rival), before + 1);
      return [rival, DASHES[before % DASHES.length] ?? SOLID];
    }),
  );
}

function hash(text: string): number {
  return [...text].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
}

function properties(mode: "light" | "dark"): string {
  const surface =
    mode === "light"
      ? "--page:#fff;--ink:#1f2328;--soft:#59636e;--rule:#d8dee4"
      : "--page:#0d1117;--ink:#e6edf3;--soft:#9198a1;--rule:#30363d";
  return [surface, ...[...PALETTE, ...OTHERS].map((each) => `--${each.name}:${each[mode]}`)].join(";");
}

/** To be put into a page, or into a drawing that stands alone. */
export const COLOURS = `:root{color-scheme:light dark;${properties("light")}}@media(prefers-color-scheme:dark){:root{${properties("dark")}}}`;
