/** Leases added up by the call site that acquired them, and what is said of each site. */

import { countOf } from "../errors.js";
import { frameOf } from "./stack.js";

/** Leases of one call site. With `trace: "sampled"`, `leases` and `byteLength` are estimates from the sampled ones. */
export interface TraceSite {
  /** How many. */
  readonly leases: number;
  /** Bytes in them together. */
  readonly byteLength: number;
  /** How long the oldest of the traced ones has been out, in milliseconds. */
  readonly oldestMs: number;
  /** One line for people: how many, how long, where, and, of leases that look forgotten, what usually causes it. */
  readonly summary: string;
  /** The stack of their `acquire`, from the caller's frame on. */
  readonly stack: string;
}

/** What is listed: leases that are out; those that should not be, or leaked; all that lay in one segment. */
export type SiteKind = "out" | "forgotten" | "in segment";

/** Leases that are out for longer look forgotten. In milliseconds. */
const FORGOTTEN_MS = 10_000;

/** What is added to a site. */
export interface SiteShare {
  readonly stack: string;
  readonly leases: number;
  readonly byteLength: number;
  readonly oldestMs: number;
  /** Whether `leases` and `byteLength` are estimates. */
  readonly isEstimate: boolean;
  /** Leases among them that were released, but are pinned. */
  readonly pinned: number;
  /** Leases of the same site that were released, of those traced of late. */
  readonly released: number;
}

export class Sites {
  readonly #byStack = new Map<string, SiteShare>();

  add(share: SiteShare): void {
    const site = this.#byStack.get(share.stack) ?? { ...share, leases: 0, byteLength: 0, pinned: 0 };
    this.#byStack.set(share.stack, {
      stack: site.stack,
      leases: site.leases + share.leases,
      byteLength: site.byteLength + share.byteLength,
      oldestMs: Math.max(site.oldestMs, share.oldestMs),
      isEstimate: site.isEstimate || share.isEstimate,
      pinned: site.pinned + share.pinned,
      released: Math.max(site.released, share.released),
    });
  }

  /** Most bytes first. */
  list(kind: SiteKind): TraceSite[] {
    return [...this.#byStack.values()]
      .sort((a, b) => b.byteLength - a.byteLength || b.leases - a.leases)
      .map((site) => {
        const { stack, oldestMs } = site;
        const leases = Math.round(site.leases);
        const byteLength = Math.round(site.byteLength);
        return { leases, byteLength, oldestMs, summary: summaryOf({ ...site, leases, byteLength }, kind), stack };
      });
  }
}

function summaryOf(site: SiteShare, kind: SiteKind): string {
  const about = site.isEstimate ? "about " : "";
  const [first = "", second = ""] = site.stack.split("\n", 2);
  const caller = frameOf(second)?.name;
  const where = `${first.replace(/^\s*(at )?/, "") || "an unknown place"}${caller ? `, called by ${caller}` : ""}`;
  const age = site.oldestMs < 1000 ? `${Math.round(site.oldestMs)} ms` : `${(site.oldestMs / 1000).toFixed(1)} s`;
  const found = kind === "in segment" ? "lay in this segment" : causeOf(site, kind);
  return `${about}${countOf(site.leases)} of ${site.byteLength} bytes, oldest ${age}: ${found}; acquired at ${where}`;
}

/** What became of the site's other leases, and what it usually is when leases of such a site stay out. */
function causeOf({ leases, pinned, released, oldestMs }: SiteShare, kind: "out" | "forgotten"): string {
  if (pinned >= leases) return "released, but a pin, or the promise given to releaseAfter, has not ended";
  const isForgotten = kind === "forgotten" || oldestMs > FORGOTTEN_MS;
  if (released > 0) {
    const others = `${released === 1 ? "1 other was" : `${released} others were`} released`;
    return isForgotten ? `${others}: a return, a throw or a wait skips release()` : others;
  }
  return `none was ${isForgotten ? "ever released: release(), using or arena.use() is missing" : "released yet"}`;
}
