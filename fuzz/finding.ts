/** What is thrown on purpose: by a check that fails, and by the programs themselves. */

/** The arena did not do what the model does. */
export class Finding extends Error {}

/** What listeners and callbacks of the programs throw. */
export class PlannedError extends Error {}
