/** Where the frames come from: a canvas that is drawn on, or planes of bytes, as from a decoder. Both move. */

export type FrameFormat = "RGBA" | "I420";

const [WIDTH, HEIGHT] = [1280, 720];
/** Pixels that a picture moves from frame to frame. */
const STEP = 8;

/** The frame of this number, the caller's to close. The canvas shows it, or the one shortly before. */
export type FrameSource = (number: number) => VideoFrame;

export function frameSource(format: FrameFormat, canvas: HTMLCanvasElement): FrameSource {
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("this browser draws on no canvas");
  return format === "RGBA" ? canvasFrames(canvas, context) : planarFrames(context);
}

function canvasFrames(canvas: HTMLCanvasElement, context: CanvasRenderingContext2D): FrameSource {
  return (number) => {
    const x = (number * STEP) % WIDTH;
    context.fillStyle = "#14161a";
    context.fillRect(0, 0, WIDTH, HEIGHT);
    context.fillStyle = "#6ea0ff";
    context.fillRect(x, 0, 160, HEIGHT);
    context.fillStyle = "#d9a441";
    context.font = "bold 240px sans-serif";
    context.fillText(`${number}`, 80, 440);
    return new VideoFrame(canvas, { timestamp: timestampOf(number) });
  };
}

/** Brightness for each pixel, then two colours for each square of four. */
function planarFrames(context: CanvasRenderingContext2D): FrameSource {
  const pixels = WIDTH * HEIGHT;
  const planes = new Uint8Array(1.5 * pixels);
  planes.fill(160, pixels, 1.25 * pixels).fill(110, 1.25 * pixels);
  return (number) => {
    const y = (number * STEP) % HEIGHT;
    planes.fill(60, 0, pixels).fill(180, y * WIDTH, Math.min((y + 100) * WIDTH, pixels));
    const timestamp = timestampOf(number);
    const frame = new VideoFrame(planes, { format: "I420", codedWidth: WIDTH, codedHeight: HEIGHT, timestamp });
    // Not every one: the conversion of the colours takes longer than a copy.
    if (number % 6 === 0) context.drawImage(frame, 0, 0);
    return frame;
  };
}

/** Microseconds. */
function timestampOf(number: number): number {
  return Math.round((number * 1e6) / 60);
}
