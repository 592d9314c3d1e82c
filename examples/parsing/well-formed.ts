/** Which strings UTF-8 can carry. The others would be sent as U+FFFD, and two of them as the same bytes. */

/** Whether `text` has no lone surrogate. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
