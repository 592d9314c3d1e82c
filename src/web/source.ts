/** What bytes come from: streams, and what has one. Owns telling them apart. */

import { invalidArgument } from "../errors.js";

/** What is used of a `ReadableStreamDefaultReader`. */
export interface StreamReaderLike {
  read(): Promise<{ done: boolean; value?: unknown }>;
  cancel(reason?: unknown): Promise<unknown>;
  releaseLock(): void;
}

/** What is used of a `ReadableStream` of bytes. */
export interface StreamLike {
  getReader(): StreamReaderLike;
}

/** What is used of a `Response` or `Request`. */
export interface BodyLike {
  readonly body: StreamLike | null;
  readonly bodyUsed: boolean;
}

/** What is used of a `Blob` or `File`. */
export interface BlobLike {
  readonly size: number;
  stream(): StreamLike;
}

export type Source = StreamLike | BodyLike | BlobLike;

/** A reader of the source's bytes, `null` for a body that there is none of. */
export function readerOf(source: Source): StreamReaderLike | null {
  const { getReader, stream, body, bodyUsed } = Object(source) as Partial<StreamLike & BodyLike & BlobLike>;
  let from: StreamLike | null;
  if (typeof getReader === "function") from = source as StreamLike;
  else if (typeof stream === "function") from = (source as BlobLike).stream();
  else if (body !== undefined && !bodyUsed) from = body;
  else throw notReadable(source);
  try {
    return from === null ? null : from.getReader();
  } catch (cause) {
    throw notReadable(source, cause);
  }
}

/** Bytes to come, where the source knows. */
export function byteLengthOf(source: Source): number | undefined {
  const { size, stream } = Object(source) as Partial<BlobLike>;
  return typeof stream === "function" ? size : undefined;
}

function notReadable(source: unknown, cause?: unknown): Error {
  const error = invalidArgument(
    "source",
    source,
    "a ReadableStream, Response, Request, Blob or File that nobody else reads or has read",
  );
  if (cause !== undefined) error.cause = cause;
  return error;
}
