// Two plots of a route: what became of its calls, and how long they took. Numbers stand in the table above: a plot is for
// the shape, and says in words what it shows.

import { make, mark } from "./dom.js";
import * as past from "./past.js";
import { now, rate, seconds, share } from "./words.js";

const HEIGHT = 150;
const SHORT = { hour: "2-digit", minute: "2-digit" };
const LONGEST = 600; // seconds
const SHORTEST = 60;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A part of all calls, per second. Where there is none there is no line: one along the ground would look like some. */
const part = (calls, ...shares) => calls.map((value, index) => value * shares.reduce((sum, of) => sum + (of[index] ?? 0), 0) || null);

/** Errors at the bottom, what fallbacks answered upon them, all calls behind both. */
function outcomes(name) {
  const of = past.of(name);
  const { times, requests_per_second: all, error_share: failed, fallback_share: rescued } = of;
  return [times, all, part(all, failed, rescued), part(all, failed)];
}

function latencies(name) {
  const of = past.of(name);
  return [of.times, of.p50, of.p99];
}

function axes(format) {
  const shared = { stroke: color("--muted"), grid: { stroke: color("--rule"), width: 1 }, ticks: { show: false }, font: `11px ${color("--sans")}` };
  const times = (_, splits) => splits.map((at) => new Date(at * 1000).toLocaleTimeString("en-GB", splits[1] - splits[0] < 60 ? undefined : SHORT));
  return [
    { ...shared, size: 24, space: 60, values: times, incrs: [10, 30, 60, 120] },
    { ...shared, size: 52, space: 26, values: (_, splits) => splits.map(format) },
  ];
}

/** A series; in the legend the point under the cursor, otherwise the newest. */
function line(label, name, shown, more = {}) {
  const value = (plot, _, __, index) => shown(index ?? plot.data[0].length - 1);
  return { label, stroke: color(name), width: 1.5, points: { show: false }, spanGaps: false, value, ...more };
}

function area(label, name, shown) {
  return line(label, name, shown, { width: 1, fill: `color-mix(in srgb, ${color(name)} 38%, ${color("--ground")})` });
}

const calls = (value) => (value === null || value === undefined ? "–" : `${rate(value)}/s`);

function kinds(name) {
  const perSecond = (at) => past.of(name).requests_per_second[at] ?? null;
  const parts = (figure) => (at) => calls(perSecond(at) === null ? null : perSecond(at) * (past.of(name)[figure][at] ?? 0));
  const quantile = (figure) => (at) => seconds(past.of(name)[figure][at]);
  return {
    outcomes: {
      data: () => outcomes(name),
      axis: (value) => (Number.isInteger(value) ? (value < 1000 ? String(value) : rate(value)) : value.toFixed(1)),
      floor: 1,
      series: [
        area("all", "--calls", (at) => calls(perSecond(at))),
        area("fallback", "--watch", parts("fallback_share")),
        area("errors", "--ill", parts("error_share")),
      ],
    },
    latencies: {
      data: () => latencies(name),
      axis: (value) => (value ? seconds(value) : "0"),
      floor: 0.005,
      series: [line("p50", "--calls", quantile("p50")), line("p99", "--ink", quantile("p99"), { dash: [4, 3] })],
    },
  };
}

/** Ten minutes, or as much as there is. */
function span(times) {
  const end = now() / 1000;
  return [Math.max(end - LONGEST, Math.min(times[0] ?? end, end - SHORTEST)), end];
}

/** One plot, with its legend. */
class Plot {
  constructor(title, kind) {
    this.kind = kind;
    this.chart = null;
    this.box = make("div", { class: "plot", role: "img" });
    this.element = make("figure", {}, make("figcaption", {}, title), this.box);
    this.sized = new ResizeObserver(() => this.fit());
    this.sized.observe(this.box);
  }

  fit() {
    const width = this.box.clientWidth;
    if (this.chart && width) this.chart.setSize({ width, height: HEIGHT });
    else if (width) this.draw();
  }

  draw() {
    const { kind } = this;
    if (this.chart) this.chart.destroy();
    const options = {
      width: this.box.clientWidth,
      height: HEIGHT,
      padding: [8, 4, 0, 0],
      scales: {
        x: { time: true, range: (plot) => span(plot.data[0]) },
        y: { range: (_, low, high) => [0, Math.max(kind.floor, (high ?? 0) * 1.1)] },
      },
      axes: axes(kind.axis),
      series: [{ value: (_, at) => (at ? new Date(at * 1000).toLocaleTimeString("en-GB") : "now") }, ...kind.series],
      cursor: { points: { size: 5 }, drag: { x: false, y: false }, y: false },
      legend: { live: true },
    };
    this.chart = new uPlot(options, kind.data(), this.box);
  }

  update(words) {
    mark(this.box, "aria-label", words);
    if (this.chart) this.chart.setData(this.kind.data());
  }

  close() {
    this.sized.disconnect();
    if (this.chart) this.chart.destroy();
    this.chart = null;
  }
}

/** Both plots of a route. */
export class Plots {
  constructor(name) {
    this.name = name;
    this.make();
    this.element = make("div", { class: "plots" }, ...this.plots.map((plot) => plot.element));
  }

  make() {
    const kind = kinds(this.name);
    this.plots = [new Plot("Calls per second", kind.outcomes), new Plot("Time to answer", kind.latencies)];
  }

  update({ rates }) {
    this.plots[0].update(
      `Calls of the last ten minutes. Now ${calls(rates.requests_per_second)}, errors ${share(rates.error_share)}, fallback ${share(rates.fallback_share)}`,
    );
    this.plots[1].update(`Time to answer in the last ten minutes. Now p50 ${seconds(rates.p50)}, p99 ${seconds(rates.p99)}`);
  }

  /** In the colours of another theme. */
  redraw() {
    this.close();
    this.make();
    this.element.replaceChildren(...this.plots.map((plot) => plot.element));
  }

  close() {
    for (const plot of this.plots) plot.close();
  }
}
