// What both views show: a word with its shape, a split, findings, what waits.

import { h } from "./dom.js";
import { away, many, moment } from "./text.js";

/** The words, worst first, as people read them; `group`: who has to do something. */
export const WORDS = {
  Failed: { text: "Failed", group: "needs" },
  Degraded: { text: "Degraded", group: "needs" },
  Unknown: { text: "Unknown", group: "needs" },
  Waiting: { text: "Waiting", group: "moving" },
  RollingOut: { text: "Rolling out", group: "moving" },
  Training: { text: "Training", group: "moving" },
  Held: { text: "Held", group: "held" },
  Serving: { text: "Serving", group: "serving" },
};

export const GROUPS = {
  needs: "Needs you",
  moving: "Moving",
  held: "Held",
  serving: "Serving",
};

const NO_WORD = { text: "Not served", group: "held" };
const ORDER = Object.keys(WORDS);

/** What is known of a word; one of a newer server is shown as it is written. */
export const wordOf = (word) => (word ? (WORDS[word] ?? { text: word, group: "needs" }) : NO_WORD);
export const groupOf = (row) => wordOf(row.word).group;
/** Where a word comes in a list that has the worst first. */
export const rankOf = (word) => (ORDER.includes(word) ? ORDER.indexOf(word) : word ? 0 : ORDER.length);

/** One shape per word, so that colour is never the only difference. */
const SHAPES = {
  Failed: [
    ["path", { d: "M5.2 1h5.6L15 5.2v5.6L10.8 15H5.2L1 10.8V5.2z", class: "fill" }],
    ["path", { d: "M5.5 5.5l5 5m0-5l-5 5", class: "cut" }],
  ],
  Degraded: [
    ["path", { d: "M8 1.3l7 12.9H1z", class: "fill" }],
    ["path", { d: "M8 6v4m0 1.7v.6", class: "cut" }],
  ],
  Unknown: [
    ["circle", { cx: 8, cy: 8, r: 6.2, class: "line dashed" }],
    ["path", { d: "M6.2 6.2c0-2.3 3.6-2.3 3.6 0 0 1.5-1.8 1.5-1.8 3m0 1.9v.4", class: "line" }],
  ],
  Waiting: [["path", { d: "M4 1.8h8M4 14.2h8M5 2c0 4 6 5 6 6s-6 2-6 6M11 2c0 4-6 5-6 6s6 2 6 6", class: "line" }]],
  RollingOut: [
    ["circle", { cx: 8, cy: 8, r: 6.2, class: "line" }],
    ["path", { d: "M8 3.8v8.4a4.2 4.2 0 0 0 0-8.4z", class: "fill" }],
  ],
  Training: [["path", { d: "M1.8 14.2V8.5M6 14.2V5.5M10.1 14.2V9.5M14.2 14.2V1.8", class: "line" }]],
  Held: [["path", { d: "M3.5 2h3v12h-3zM9.5 2h3v12h-3z", class: "fill" }]],
  Serving: [
    ["circle", { cx: 8, cy: 8, r: 7, class: "fill" }],
    ["path", { d: "M4.7 8.3l2.3 2.3 4.3-4.9", class: "cut" }],
  ],
};
const NO_SHAPE = [["circle", { cx: 8, cy: 8, r: 6.2, class: "line" }]];

/** The shape alone: beside its word it says nothing to a screen reader. */
export function shape(word) {
  const parts = SHAPES[word] ?? (word ? SHAPES.Unknown : NO_SHAPE);
  return h(
    "svg",
    { class: `shape ${tone(word)}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    parts.map(([tag, props]) => h(tag, props)),
  );
}

/** The class that has a word's colour. */
export const tone = (word) => `tone-${word in WORDS ? word : word ? "Unknown" : "none"}`;

export function badge(word, extra = "") {
  return h("span", { class: `badge ${tone(word)} ${extra}` }, shape(word), h("span", null, wordOf(word).text));
}

/** Live and declared weight of a canary: `10 → 25 %`, or `25 %` where they agree; `–` without a canary. */
export function weights({ canary, weight, declared }) {
  const wanted = declared?.canary ? declared.weight : null;
  if (!canary && wanted === null) return "–";
  return wanted === null || wanted === weight ? `${weight} %` : `${weight} → ${wanted} %`;
}

/** How requests are split: what the canary carries, and a tick at what it may. */
export function splitBar({ weight, declared }) {
  const most = declared?.canary ? declared.weight : weight;
  return h(
    "svg",
    { class: "split", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    h("rect", { width: 100, height: 6, class: "split-stable" }),
    h("rect", { width: Math.max(weight, most), height: 6, class: "split-most" }),
    h("rect", { width: weight, height: 6, class: "split-canary" }),
  );
}

export function findings(list, { withSubject = true } = {}) {
  return h(
    "ul",
    { class: "findings" },
    list.map((finding) =>
      h(
        "li",
        { class: "finding" },
        h(
          "p",
          { class: "finding-head" },
          withSubject && finding.subject && h("b", null, subject(finding.subject)),
          h("code", { class: "where" }, finding.location ?? finding.reason),
        ),
        h("div", null, h("p", null, finding.message), finding.hint && next(finding.hint)),
      ),
    ),
  );
}

/** `MLDeployment/wine` as a link to its model, where it is one of ours. */
function subject(text) {
  const [kind, name] = text.split("/");
  const isOfModel = name && (kind === "MLDeployment" || kind === "MLTrainingJob");
  return isOfModel ? h("a", { href: pageOf(name) }, text) : text;
}

export const pageOf = (model) => `#/models/${encodeURIComponent(model)}`;

/** What to do, or what happens by itself. */
export const next = (text) =>
  h("p", { class: "next" }, h("span", { class: "arrow", "aria-hidden": "true" }, "→"), text);

export function waits(list) {
  return h(
    "ul",
    { class: "findings" },
    list.map((wait) =>
      h(
        "li",
        { class: "finding waits" },
        h("p", null, wait.message),
        (wait.blockedBy || wait.until) &&
          h(
            "p",
            { class: "muted" },
            wait.blockedBy && ["first: ", subject(wait.blockedBy)],
            wait.blockedBy && wait.until && " · ",
            wait.until && ["until ", moment(wait.until, (at) => `${away(at)}`)],
          ),
      ),
    ),
  );
}

/** Says nothing is there, and why. */
export const empty = (title, ...why) =>
  h("div", { class: "empty" }, h("h2", { tabindex: "-1" }, title), h("p", null, ...why));

/** The one sentence about all models. */
export function sentence({ environment, models }) {
  const counted = models.filter((row) => row.word);
  const needing = counted.filter((row) => groupOf(row) === "needs").length;
  const moving = counted.filter((row) => groupOf(row) === "moving").length;
  const held = counted.filter((row) => groupOf(row) === "held").length;
  const of = `of ${many(counted.length, "model")}`;
  if (needing) return `${needing} ${of} ${needing === 1 ? "needs" : "need"} you`;
  if (wordOf(environment.word).group === "needs") return "The environment needs you";
  if (!environment.attempted_revision && !models.length) return "Nothing was read yet";
  if (!counted.length) return "No model is declared";
  if (moving) return `Nothing needs you; ${moving} ${of} ${moving === 1 ? "is" : "are"} moving`;
  if (held) return `Nothing needs you; ${held} ${of} ${held === 1 ? "is" : "are"} held`;
  return counted.length === 1
    ? "The model serves what Git declares"
    : `All ${many(counted.length, "model")} serve what Git declares`;
}
