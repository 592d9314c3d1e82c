/**
 * A function of one's own. The engine keeps what it learns of a function with
 * that function: rivals that ran through one and the same loop would slow each
 * other down in a way that no program with one allocator sees.
 */

let copies = 0;

/**
 * `fn` evaluated once more. It must be an arrow or a `function` that uses nothing
 * but its parameters and globals: what it closed over is gone in the copy.
 */
export function ownCopy<F extends (...args: never[]) => unknown>(fn: F): F {
  // esbuild's keepNames, which tsx switches on, wraps inner functions in __name.
  // The comment makes every source different, so that no cache of the engine's hands back the last copy.
  const evaluate = new Function("__name", `return (${fn})\n// ${++copies}`);
  return evaluate((value: unknown) => value) as F;
}
