/** What redis-parser does not declare itself, as far as it is used here. */

declare module "redis-parser" {
  export default class Parser {
    constructor(options: {
      returnReply(reply: unknown): void;
      returnError(error: Error): void;
      returnBuffers?: boolean;
    });
    execute(chunk: Buffer): void;
  }
}
