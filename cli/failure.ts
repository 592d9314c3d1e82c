/** The two ways in which a command ends early, and what the shell is told of them. */

export const EXIT = { done: 0, failed: 1, badArguments: 2 } as const;

/** The user's mistake: reported without a stack, exit code 2. */
export class UsageError extends Error {}

/** Something here did not work, and the message says all there is to say: no stack, exit code 1. */
export class Failure extends Error {}

/** What the system says of a file or a port, in words. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
