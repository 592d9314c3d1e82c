/** Every whole program. */

import { bufferPrograms } from "./buffers.ts";
import { digest } from "./digest.ts";
import { echo, echoPaced } from "./echo.ts";
import { csv, search } from "./files.ts";
import { inflate } from "./inflate.ts";
import type { Program } from "./program.ts";
import { encode, fanOut, proxy } from "./sockets.ts";
import { threadPrograms } from "./threads.ts";
import { cappedUploads, uploads } from "./uploads.ts";

export const PROGRAMS: readonly Program[] = [
  echo,
  echoPaced,
  uploads,
  cappedUploads,
  csv,
  search,
  digest,
  inflate,
  fanOut,
  encode,
  proxy,
  ...bufferPrograms,
  ...threadPrograms,
];
