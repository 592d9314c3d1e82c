/** Decompression of many bodies, gzip and brotli, eight at a time, each wanted whole. */

import { promisify } from "node:util";
import zlib, { type BrotliDecompress, type Gunzip } from "node:zlib";
import { Arena, type Lease } from "cleanslab";
import { collect } from "cleanslab/node";
import { eachOf, type Figures, type JobProgram, leases, numbersFrom, ordinary } from "./program.ts";

const BODIES = 1500;

interface Body {
  readonly packed: Buffer;
  readonly byteLength: number;
  readonly isBrotli: boolean;
}

/** Text-like bodies of 64 KiB to 1 MiB; half gzip, half brotli. */
function bodies(): Body[] {
  const words = ["lorem ", "ipsum ", "dolor ", "sit ", "amet, ", '{"key":', "12345,", "}\n"];
  const next = numbersFrom(5);
  let text = "";
  while (text.length < 1 << 20) text += words[(next() >>> 8) & 7];
  const whole = Buffer.from(text);
  return Array.from({ length: 16 }, (_, each) => {
    const byteLength = 65536 * (each + 1);
    const isBrotli = each % 2 === 1;
    const plain = whole.subarray(0, byteLength);
    const packed = isBrotli
      ? zlib.brotliCompressSync(plain, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } })
      : zlib.gzipSync(plain);
    return { packed, byteLength, isBrotli };
  });
}

const gunzip = promisify(zlib.gunzip);
const unbrotli = promisify(zlib.brotliDecompress);

async function work(variant: string): Promise<Figures> {
  const all = bodies();
  const arena = new Arena({ trace: "off" });
  let checksum = 0;
  const whole = async ({ packed, isBrotli }: Body): Promise<Buffer> => (isBrotli ? unbrotli(packed) : gunzip(packed));
  const leased = ({ packed, byteLength, isBrotli }: Body): Promise<Lease> => {
    const stream: Gunzip | BrotliDecompress = isBrotli
      ? zlib.createBrotliDecompress({ chunkSize: 65536 })
      : zlib.createGunzip({ chunkSize: 65536 });
    stream.end(packed);
    return collect(stream, arena, { byteLength });
  };
  await eachOf(BODIES, 8, async (each) => {
    const body = all[each % all.length] as Body;
    if (variant === "leases") {
      const lease = await leased(body);
      checksum += lease.bytes[body.byteLength - 1] as number;
      lease.release();
    } else {
      const bytes = await whole(body);
      checksum += bytes[body.byteLength - 1] as number;
    }
  });
  return { operations: BODIES, checksum };
}

export const inflate: JobProgram = {
  name: "inflate",
  title: "1,500 bodies of 64 KiB to 1 MiB decompressed, gzip and brotli, eight at a time",
  variants: [ordinary("zlib.gunzip, brotliDecompress"), leases("leases")],
  work,
};
