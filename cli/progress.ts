/** One line that is written over on a terminal; elsewhere a plain line for each step. Always standard error. */

export interface Progress {
  /** A new step begins: its name, and the share of the whole that is done. */
  step(name: string, share: number): void;
  /** The share of the whole that is done, 0 to 1. */
  update(share: number): void;
  /** The line goes away, so that something can be printed. */
  clear(): void;
}

const ERASE_LINE = "\r\x1b[K";

export function openProgress(output: NodeJS.WriteStream = process.stderr): Progress {
  if (!output.isTTY) {
    return { step: (name) => output.write(`${name} …\n`), update: () => {}, clear: () => {} };
  }
  let current = "";
  let shown = "";
  const show = (share: number): void => {
    const line = `${Math.floor(share * 100)} %  ${current}`.slice(0, output.columns - 1);
    if (line !== shown) output.write(`${ERASE_LINE}${line}`);
    shown = line;
  };
  return {
    step: (name, share) => {
      current = name;
      show(share);
    },
    update: show,
    clear: () => {
      output.write(ERASE_LINE);
      shown = "";
    },
  };
}
