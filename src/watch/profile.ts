/**
 * Leases as a sampling heap profile: by call site, weighted by bytes. The format is that
 * of the Chrome DevTools protocol (`HeapProfiler.SamplingHeapProfile`), which Chrome
 * DevTools, VS Code and speedscope open from a file named `.heapprofile`.
 */

import { inMicrotask } from "../builtins.js";
import { type Frame, frameOf, type Stack, textOf } from "./stack.js";

/** A function on the way to leases, and how many bytes it acquired itself. */
export interface HeapProfileNode {
  readonly callFrame: {
    readonly functionName: string;
    readonly scriptId: string;
    readonly url: string;
    /** From 0. */
    readonly lineNumber: number;
    /** From 0. */
    readonly columnNumber: number;
  };
  /** Bytes. */
  selfSize: number;
  readonly id: number;
  readonly children: HeapProfileNode[];
}

/** `JSON.stringify` of it is the contents of a `.heapprofile`. */
export interface HeapProfile {
  readonly head: HeapProfileNode;
  readonly samples: { readonly size: number; readonly nodeId: number; readonly ordinal: number }[];
}

/** Bytes of one call site. */
export interface ProfileSite {
  readonly stack: string;
  readonly byteLength: number;
  /** Stands below the call site: what is said of it. */
  readonly summary?: string;
}

/** @param leaked stands apart: these bytes are back under the cap. */
export function heapProfile(
  sites: readonly ProfileSite[],
  leaked: readonly ProfileSite[],
  untracedBytes: number,
): HeapProfile {
  const tree = new Tree();
  const { head } = tree;
  for (const site of sites) tree.add(head, site);
  if (untracedBytes > 0) tree.count(tree.child(head, label("(leases that are not traced)")), untracedBytes);
  for (const site of leaked) tree.add(tree.child(head, label("(leaked: collected, never released)")), site);
  return { head, samples: tree.samples };
}

function label(name: string): Frame {
  return { name, url: "", line: 0, column: 0 };
}

class Tree {
  readonly samples: HeapProfile["samples"] = [];
  readonly #scripts = new Map<string, string>();
  #nodes = 0;
  readonly head = this.#node("(root)", "", 0, 0);

  /** The bytes of a site, where its stack leads. */
  add(top: HeapProfileNode, { stack, byteLength, summary }: ProfileSite): void {
    const frames = stack.split("\n").map((line) => frameOf(line) ?? label("(no stack)"));
    let node = top;
    for (let each = frames.length - 1; each >= 0; each--) node = this.child(node, frames[each] as Frame, each > 0);
    if (summary !== undefined) node = this.child(node, { ...(frames[0] as Frame), name: summary });
    this.count(node, byteLength);
  }

  count(node: HeapProfileNode, byteLength: number): void {
    const size = Math.round(byteLength);
    node.selfSize += size;
    this.samples.push({ size, nodeId: node.id, ordinal: this.samples.length + 1 });
  }

  /** @param isCaller of another function: all its calls are one node, as in V8's profiles. */
  child(parent: HeapProfileNode, { name, url: path, line, column }: Frame, isCaller = false): HeapProfileNode {
    const url = path.replace(/^(?=\/)/, "file://");
    const found = parent.children.find(({ callFrame: { functionName, url: itsUrl, lineNumber, columnNumber } }) => {
      const isSamePlace = lineNumber === line - 1 && columnNumber === column - 1;
      return functionName === name && itsUrl === url && (isSamePlace || (isCaller && name !== ""));
    });
    if (found !== undefined) return found;
    const made = this.#node(name, url, line, column);
    parent.children.push(made);
    return made;
  }

  #node(functionName: string, url: string, line: number, column: number): HeapProfileNode {
    const scriptId = this.#scripts.get(url) ?? String(this.#scripts.size);
    this.#scripts.set(url, scriptId);
    const callFrame = { functionName, scriptId, url, lineNumber: line - 1, columnNumber: column - 1 };
    return { callFrame, selfSize: 0, id: ++this.#nodes, children: [] };
  }
}

/** Stacks that a mark keeps without having read them, at most: in one job an arena may acquire any number of leases. */
const RECENT_AT_MOST = 16_384;

/** Leases acquired since it was made, by call site. Made by `arena.mark()`; counting ends when nobody holds it. */
export class ProfileMark {
  readonly #bytes = new Map<string, number>();
  #recent: { stack: Stack; byteLength: number }[] = [];

  /** @internal */
  add(stack: Stack, byteLength: number): void {
    // T1: what is not read may keep leases.
    const kept = this.#recent.length < RECENT_AT_MOST ? stack : "";
    if (this.#recent.push({ stack: kept, byteLength }) === 1024) inMicrotask(() => this.sites());
  }

  /** @internal Runs the caller's `Error.prepareStackTrace`. */
  sites(): ProfileSite[] {
    const recent = this.#recent;
    this.#recent = [];
    for (const { stack, byteLength } of recent) {
      const text = textOf(stack);
      this.#bytes.set(text, (this.#bytes.get(text) ?? 0) + byteLength);
    }
    return [...this.#bytes].map(([stack, byteLength]) => ({ stack, byteLength }));
  }
}
