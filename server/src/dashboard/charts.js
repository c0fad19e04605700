// Charts as SVG with attributes and classes only; each with its numbers in a table beside it.

import { h } from "./dom.js";
import { duration, exact, moment, number } from "./text.js";

const HEIGHT = 190;
const LEFT = 48;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 26;

/**
 * The live weight of a canary over its last transitions, and what Git allows now. `history`: oldest first, as the object's
 * status has it; `most`: the declared weight, or `null` without a canary; `width` in pixels, so that text has its own size.
 */
export function splitOverTime({ history, most, now, width }) {
  if (!history.length) return h("p", { class: "muted" }, "No transition yet.");
  const span = Math.max(now - Date.parse(history[0].at), 60_000);
  const tallest = Math.max(...history.map(({ weight }) => weight), most ?? 0, 10);
  const top = [20, 40, 60, 80].find((top) => tallest < top) ?? 100;
  const x = (at) => LEFT + (1 - (now - at) / span) * (width - LEFT - RIGHT);
  const y = (weight) => TOP + (1 - weight / top) * (HEIGHT - TOP - BOTTOM);
  const points = history.map((change) => ({ ...change, x: x(Date.parse(change.at)), y: y(change.weight) }));
  const last = points.at(-1);
  const line = points
    .map((point, at) => (at ? `H${round(point.x)}V${round(point.y)}` : `M${round(point.x)} ${round(point.y)}`))
    .join("");
  const shown = `${line}H${round(x(now))}`;
  return h(
    "figure",
    { class: "chart" },
    h(
      "svg",
      {
        viewBox: `0 0 ${width} ${HEIGHT}`,
        role: "img",
        "aria-label": `Weight of the canary: ${last.weight} % now${most === null ? "" : `, at most ${most} %`}`,
      },
      [0, top / 2, top].map((weight) => [
        h("line", { x1: LEFT, x2: width - RIGHT, y1: y(weight), y2: y(weight), class: "grid" }),
        h("text", { x: LEFT - 8, y: y(weight) + 4, class: "tick end" }, `${weight} %`),
      ]),
      [0, 0.5, 1].map((part) =>
        h(
          "text",
          {
            x: LEFT + part * (width - LEFT - RIGHT),
            y: HEIGHT - 6,
            class: `tick ${["start", "middle", "end"][part * 2]}`,
          },
          part === 1 ? "now" : `${duration((span * (1 - part)) / 1000)} ago`,
        ),
      ),
      h("path", { d: `${shown}V${round(y(0))}H${round(points[0].x)}Z`, class: "area" }),
      most !== null && h("line", { x1: LEFT, x2: width - RIGHT, y1: y(most), y2: y(most), class: "ceiling" }),
      h("path", { d: shown, class: "actual" }),
      points.map((point) =>
        h(
          "circle",
          { cx: round(point.x), cy: round(point.y), r: 4, class: isReduction(points, point) ? "dot lowered" : "dot" },
          h("title", null, `${exact(point.at)}: ${point.weight} %. ${point.message ?? ""}`),
        ),
      ),
    ),
    h(
      "figcaption",
      null,
      h("span", { class: "key key-actual" }, `actual ${last.weight} %`),
      most !== null && h("span", { class: "key key-ceiling" }, `set in Git ${most} %`),
    ),
    h("details", null, h("summary", null, `${history.length} transitions`), transitions(history)),
  );
}

const round = (value) => Math.round(value * 10) / 10;
const isReduction = (points, point) => point.weight < (points[points.indexOf(point) - 1]?.weight ?? 0);

function transitions(history) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Transitions" },
    h(
      "table",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          ["When", "State", "Weight", "Why"].map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        null,
        [...history]
          .reverse()
          .map((change) =>
            h(
              "tr",
              null,
              h("td", null, moment(change.at, exact)),
              h("td", null, change.from === change.to ? change.to : `${change.from} → ${change.to}`),
              h("td", { class: "figure" }, `${change.weight} %`),
              h("td", null, change.message ?? ""),
            ),
          ),
      ),
    ),
  );
}

/** One metric across versions, oldest first: a dot each. `points`: `[{ version, value, tone }]`. */
export function acrossVersions(points, name) {
  const values = points.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (at) => 8 + (points.length === 1 ? 0.5 : at / (points.length - 1)) * 304;
  const y = (value) => 8 + (high === low ? 0.5 : 1 - (value - low) / (high - low)) * 44;
  return h(
    "svg",
    {
      class: "spark",
      viewBox: "0 0 320 60",
      role: "img",
      "aria-label": `${name} across ${points.length} versions, from ${low} to ${high}`,
    },
    h("polyline", {
      points: points.map((point, at) => `${round(x(at))},${round(y(point.value))}`).join(" "),
      class: "actual",
    }),
    points.map((point, at) =>
      h(
        "circle",
        { cx: round(x(at)), cy: round(y(point.value)), r: 4, class: `dot ${point.tone}` },
        h("title", null, `${point.version}: ${point.value}`),
      ),
    ),
  );
}

/**
 * The loss of each track's fit, on one scale. `curves`: `[{ track, losses }]`, from without any fit to the model itself. They
 * may have different numbers of points: each takes the whole width.
 */
export function lossCurves(curves) {
  const all = curves.flatMap(({ losses }) => losses);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const x = (at, count) => 6 + (at / (count - 1)) * 548;
  const y = (loss) => 8 + (high === low ? 0.5 : 1 - (loss - low) / (high - low)) * 124;
  const line = ({ track, losses }) =>
    h("polyline", {
      points: losses.map((loss, at) => `${round(x(at, losses.length))},${round(y(loss))}`).join(" "),
      class: `curve curve-${track}`,
    });
  const said = ({ track, losses }) => `${track}: from ${number(losses[0])} to ${number(losses.at(-1))}`;
  return h(
    "figure",
    { class: "chart losses" },
    h("h3", null, "Loss on the training rows"),
    h(
      "svg",
      { viewBox: "0 0 560 140", role: "img", "aria-label": `Loss while it was fitted. ${curves.map(said).join("; ")}` },
      h("line", { x1: 6, x2: 554, y1: 132, y2: 132, class: "grid" }),
      curves.map(line),
    ),
    h(
      "figcaption",
      null,
      curves.map((curve) => h("span", { class: `key key-${curve.track}` }, said(curve))),
    ),
    h("details", null, h("summary", null, "Numbers"), curves.map(numbers)),
  );
}

function numbers({ track, losses }) {
  return h("p", { class: "muted" }, `${track}: ${losses.map(number).join(", ")}`);
}
