/** What @types/ws leaves out, as far as it is used here. */

import type { Writable } from "node:stream";

declare module "ws" {
  export class Receiver extends Writable {
    constructor(options: { isServer: boolean; maxPayload?: number });
  }
}
