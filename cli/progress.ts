/** A bar on a terminal; elsewhere one plain line for each step. Always standard error. */

import { Presets, SingleBar } from "cli-progress";

export interface Progress {
  /** A new step begins: its name, and the share of the whole that is done. */
  step(name: string, share: number): void;
  /** The share of the whole that is done, 0 to 1. */
  update(share: number): void;
  /** The bar goes away, so that something can be printed, or for good. */
  clear(): void;
}

export function openProgress(): Progress {
  return process.stderr.isTTY ? openBar() : openLines();
}

function openBar(): Progress {
  let bar: SingleBar | undefined;
  const show = (share: number, name?: string): void => {
    if (bar === undefined) {
      bar = new SingleBar(
        { format: "{bar} {percentage} %  {name}", clearOnComplete: true, hideCursor: true, barsize: 30, fps: 10 },
        Presets.shades_classic,
      );
      bar.start(1, share, { name: name ?? "" });
    }
    bar.update(share, name === undefined ? {} : { name });
  };
  const clear = (): void => {
    bar?.stop();
    bar = undefined;
  };
  return { step: (name, share) => show(share, name), update: (share) => bar && show(share), clear };
}

function openLines(): Progress {
  return {
    step: (name) => process.stderr.write(`${name} …\n`),
    update: () => {},
    clear: () => {},
  };
}
