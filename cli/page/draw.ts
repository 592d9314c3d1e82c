/**
 * Charts as SVG, drawn by Observable Plot without a browser. Knows no figures
 * but those of the chart. Colours are custom properties of colours.ts.
 */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Bar, BarChart, Chart, LineChart, Point } from "./chart.ts";
import { COLOURS, colourOf, dashesOf, SOLID } from "./colours.ts";
import { escapeXml } from "./escape.ts";

const { document } = parseHTML("<!doctype html><html><body></body></html>");

export const WIDE = 760;
/** For a phone: the same words in as many pixels, so that they can still be read. */
export const NARROW = 350;

const FONT = "system-ui,-apple-system,'Segoe UI',Roboto,sans-serif";
const LINE_HEIGHT = 20;
/** Above each group of bars. */
const HEADING = 28;

interface Drawing {
  /** The inside of an SVG element. */
  markup: string;
  height: number;
}

/** To be put into a page that has `COLOURS`. */
export function drawInPage(chart: Chart, width: number): string {
  const { markup, height } = draw(chart, width);
  return svg(chart, width, height, `class="${width === NARROW ? "narrow" : "wide"}"`, markup);
}

/** A file of its own, with a title, a background and its colours. */
export function drawAlone(chart: Chart, subtitle: string): string {
  const margin = 20;
  const head = 56;
  const { markup, height } = draw(chart, WIDE);
  const title = [
    `<text x="${margin}" y="34" font-size="17" font-weight="600" fill="var(--ink)">${escapeXml(chart.title)}</text>`,
    `<text x="${margin}" y="54" font-size="11.5" fill="var(--soft)">${escapeXml(subtitle)}</text>`,
  ].join("");
  const whole = `<style>${COLOURS}</style><rect width="100%" height="100%" rx="8" fill="var(--page)"/>${title}<g transform="translate(${margin},${head + 12})">${markup}</g>`;
  return `${svg(chart, WIDE + 2 * margin, height + head + 2 * margin, 'xmlns="http://www.w3.org/2000/svg"', whole)}\n`;
}

function svg({ id, title, alt }: Chart, width: number, height: number, attributes: string, inner: string): string {
  const ids = `${id}-${width}`;
  return (
    `<svg ${attributes} viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" ` +
    `aria-labelledby="${ids}-title ${ids}-desc" font-family="${FONT}" fill="var(--ink)">` +
    `<title id="${ids}-title">${escapeXml(title)}</title><desc id="${ids}-desc">${escapeXml(alt)}</desc>${inner}</svg>`
  );
}

function draw(chart: Chart, width: number): Drawing {
  return chart.kind === "bars" ? drawBars(chart, width) : drawLines(chart, width);
}

/** What Plot makes of it, without the element around it. */
function plot(options: Plot.PlotOptions): string {
  const element = Plot.plot({ ...options, document, className: "plot", style: { fontFamily: "inherit" } });
  for (const style of element.querySelectorAll("style")) style.remove();
  const { innerHTML } = element;
  return `<g font-size="12" text-anchor="middle" fill="currentColor" color="var(--ink)">${innerHTML}</g>`;
}

function drawBars({ groups, label, scale, unit, format }: BarChart, width: number): Drawing {
  const narrow = width < 500;
  const bars = groups.flatMap((group) => group.bars.map((bar) => ({ ...bar, group: group.title })));
  const rivals = [...new Set(bars.map(({ rival }) => rival))];
  const fontSize = narrow ? 10.5 : 12;
  const marginLeft = Math.max(...rivals.map(({ length }) => length)) * fontSize * 0.55 + 14;
  const height = groups.length * (rivals.length * 20 + HEADING) + 62;
  const { from, ticks, ...x } = scale === "ratio" ? ratioScale(bars, narrow) : amountScale(bars, unit, narrow);
  const top = { insetTop: HEADING - 4 };
  const markup = plot({
    width,
    height,
    marginLeft,
    marginRight: 8,
    marginTop: 4,
    marginBottom: 40,
    insetTop: HEADING,
    x,
    y: { label: null, domain: rivals, padding: 0.22 },
    fy: { label: null, domain: groups.map(({ title }) => title), padding: 0, axis: null },
    marks: [
      Plot.gridX(ticks, { stroke: "var(--rule)", strokeOpacity: 1, ...top }),
      Plot.barX(bars, { fy: "group", y: "rival", x1: from, x2: "value", fill: ({ rival }) => colourOf(rival) }),
      Plot.ruleY(bars, { fy: "group", y: "rival", x1: "low", x2: "high", stroke: "var(--ink)", strokeOpacity: 0.65 }),
      Plot.ruleX([from], { stroke: "var(--ink)", strokeWidth: 1.5, ...top }),
      Plot.axisY({ label: null, tickSize: 0, fontSize, color: "var(--ink)" }),
      Plot.axisX(ticks, {
        text: format,
        label,
        labelAnchor: narrow ? "right" : "center",
        labelArrow: "none",
        labelOffset: 36,
      }),
      Plot.text(bars, {
        fy: "group",
        y: "rival",
        x: ({ high }) => Math.max(from, high),
        text: ({ text }) => (narrow ? text.replace(/ \(.*/, "") : text),
        textAnchor: "start",
        dx: 6,
        fontSize,
      }),
      Plot.text(groups, {
        fy: "title",
        text: "title",
        frameAnchor: "top-left",
        textAnchor: "start",
        lineAnchor: "top",
        dx: 2 - marginLeft,
        dy: 8,
        fontWeight: 600,
        fontSize: 12.5,
      }),
    ],
  });
  return { markup, height };
}

interface BarScale {
  type: Plot.ScaleType;
  domain: [number, number];
  /** Where bars begin. */
  from: number;
  ticks: number[];
}

/** Both have room for the words behind the longest bar. */
function ratioScale(bars: readonly Bar[], narrow: boolean): BarScale {
  const least = Math.min(0.8, ...bars.map(({ low }) => low));
  const most = Math.max(1.25, ...bars.map(({ high }) => high));
  const room = (most / least) ** (narrow ? 0.3 : 0.22);
  return { type: "log", domain: [least / 1.1, most * room], from: 1, ticks: ticksWithin(least, most, narrow ? 4 : 8) };
}

function amountScale(bars: readonly Bar[], unit: BarChart["unit"], narrow: boolean): BarScale {
  const most = Math.max(...bars.map(({ high }) => high)) || 1;
  const [base, steps] = unit === "bytes" ? ([2, [1 / 4, 1 / 2, 1]] as const) : ([10, [1 / 5, 1 / 2, 1, 2]] as const);
  const whole = base ** Math.floor(Math.log(most) / Math.log(base));
  const size = steps.map((step) => step * whole).find((each) => most / each <= (narrow ? 3 : 6)) ?? whole;
  const ticks = Array.from({ length: Math.floor(most / size) + 1 }, (_, each) => each * size);
  return { type: "linear", domain: [0, most * (narrow ? 1.4 : 1.2)], from: 0, ticks };
}

function drawLines(chart: LineChart, width: number): Drawing {
  const { series, label, format } = chart;
  const narrow = width < 500;
  const dashes = dashesOf(series.map(({ rival }) => rival));
  const key = legend(dashes, width);
  const height = narrow ? 300 : 380;
  const values = series.flatMap(({ points }) => points.flatMap(({ low, high }) => [low, high]));
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const ticks = ticksWithin(least, most, narrow ? 5 : 8);
  const x = across(chart, narrow ? 5 : 10);
  const markup = plot({
    width,
    height,
    marginLeft: narrow ? 58 : 70,
    marginRight: 16,
    marginTop: 26,
    marginBottom: 44,
    x: { ...x.scale, inset: narrow ? 12 : 30 },
    y: { type: "log", domain: [least / 1.1, most * 1.1] },
    marks: [
      Plot.gridY(ticks, { stroke: "var(--rule)", strokeOpacity: 1 }),
      Plot.axisY(ticks, { text: format, label, labelArrow: "none" }),
      Plot.axisX(x.ticks, { x: "at", text: "text", label: chart.xLabel, labelAnchor: "center", labelArrow: "none" }),
      ...series.flatMap(({ rival, points }) => {
        const stroke = colourOf(rival);
        const dash = dashes.get(rival);
        const at = (point: Point): number => x.position(point.x);
        return [
          Plot.areaY(points, { x: at, y1: "low", y2: "high", fill: stroke, fillOpacity: 0.1 }),
          Plot.line(points, { x: at, y: "value", stroke, strokeWidth: 2, strokeDasharray: dash ?? SOLID }),
          Plot.dot(points, {
            x: at,
            y: "value",
            fill: stroke,
            r: 3,
            title: ({ value }) => `${rival}: ${format(value)}`,
          }),
        ];
      }),
    ],
  });
  return {
    markup: `${key.markup}<g transform="translate(0,${key.height})">${markup}</g>`,
    height: height + key.height,
  };
}

/** Where things lie from left to right, with at most `room` words below. */
function across({ xs, xScale }: LineChart, room: number) {
  const position = (x: number): number => (xScale === "log" ? x : xs.findIndex((each) => each.x === x));
  const every = Math.ceil(xs.length / room);
  const ticks = xs
    .filter((_, index) => (xs.length - 1 - index) % every === 0)
    .map(({ x, text }) => ({ at: position(x), text }));
  const ends = [xs[0], xs.at(-1)].map((each) => position(each?.x ?? 0));
  const type: Plot.ScaleType = xScale === "log" ? "log" : "linear";
  return { position, ticks, scale: { type, domain: ends } };
}

/** Round numbers of each decade, as many as have room. */
function ticksWithin(least: number, most: number, room: number): number[] {
  const exponents = Array.from({ length: Math.ceil(Math.log10(most / least)) + 2 }, (_, each) => {
    return Math.floor(Math.log10(least)) + each;
  });
  for (const steps of [[1, 2, 5], [1, 3], [1]]) {
    const all = exponents.flatMap((exponent) => steps.map((step) => Number((step * 10 ** exponent).toPrecision(1))));
    const ticks = all.filter((tick) => tick >= least / 1.1 && tick <= most * 1.1);
    if (ticks.length <= room) return ticks;
  }
  const every = Math.ceil(exponents.length / room);
  return exponents
    .filter((exponent) => exponent % every === 0)
    .map((exponent) => Number((10 ** exponent).toPrecision(1)));
}

/** Rows of line and name, wrapped. */
function legend(dashes: ReadonlyMap<string, string>, width: number): Drawing {
  let x = 2;
  let y = 10;
  const entries = [...dashes].map(([rival, dash]) => {
    const entryWidth = 46 + rival.length * 6.6;
    if (x > 2 && x + entryWidth > width) {
      x = 2;
      y += LINE_HEIGHT;
    }
    const line = `<line x1="${x}" x2="${x + 24}" y1="${y}" y2="${y}" stroke="${colourOf(rival)}" stroke-width="3" stroke-dasharray="${dash}"/>`;
    const name = `<text x="${x + 30}" y="${y + 4}" font-size="12">${escapeXml(rival)}</text>`;
    x += entryWidth;
    return line + name;
  });
  return { markup: `<g aria-hidden="true">${entries.join("")}</g>`, height: y + LINE_HEIGHT };
}
