// The page itself: what is known, what is asked for in the address, and drawing the one as the other.

import { h, patch } from "./dom.js";
import { Locked, Refused, ask, follow, key } from "./link.js";
import { modelPage } from "./model.js";
import { overview, select, steady, wanted } from "./overview.js";
import { empty, groupOf, wordOf } from "./parts.js";
import { duration } from "./text.js";

/** Nobody needs to know that something loads if it is there by then. */
const SLOW_MS = 300;
/** Whoever reconciles says every 5 s that it lives; beyond three of those its knowledge is old. */
const STALE_SECONDS = 15;
/** As in the style sheet: below it a model is a card. In pixels. */
const NARROW = 960;
/** How often an open model's page asks for its requests, errors and latencies. */
const TRAFFIC_MS = 5000;
/** What is spoken at most: one sentence in this time. */
const SPOKEN_MS = 10_000;

const top = document.getElementById("top");
const notice = document.getElementById("notice");
const main = document.getElementById("main");
const spoken = document.getElementById("spoken");

const began = Date.now();
/**
 * `{ environment, models: Map, error?, trouble? }` as the API last had them; `environment` is absent where the process
 * looks at none; all is absent before the first answer.
 */
let known;
/** How old the knowledge was, and when we heard so. */
let age = { seconds: null, heard: Date.now() };
let link = { how: "connecting" };
/** Answers about the model whose page is open. */
let detail;
let order = [];
let lastRow;

// --- What comes in -----------------------------------------------------------------------------------------------

function take(event, data) {
  age = { seconds: data.age_seconds ?? (event === "change" ? age.seconds : null), heard: Date.now() };
  if (event === "snapshot") replace(data);
  else if (event === "change" && known) change(data);
  draw();
}

function replace({ environment, models = [], error, trouble }) {
  tell(known?.models ?? null, models);
  // What was known stays in sight while it cannot be read.
  const isKept = error && known?.models.size > 0;
  known = {
    environment,
    models: isKept ? known.models : new Map(models.map((row) => [row.model, row])),
    error,
    trouble,
  };
  if (detail) load();
}

function change({ environment, models = [], removed = [], error, trouble = known.trouble }) {
  tell(known.models, models);
  Object.assign(known, { environment: environment ?? known.environment, error, trouble });
  for (const row of models) known.models.set(row.model, row);
  if (!error) for (const name of removed) known.models.delete(name);
  if (detail && [...models.map((row) => row.model), ...removed].includes(detail.name)) load();
}

/**
 * Asks for what only the model's page shows: its versions too, unless `isTraffic` is all that may have changed. What was
 * there stays in sight until the answer comes.
 */
async function load({ isTraffic = false } = {}) {
  const asked = detail;
  const path = encodeURIComponent(asked.name);
  try {
    const data = await ask(`status/models/${path}`).then((answer) => answer.json());
    Object.assign(asked, { data, error: undefined, isGone: false });
    if (asked === detail) draw();
    // A model of which nothing was made yet is unknown to the registry.
    const isMade =
      data.stable || data.history.length || data.trainings.some(({ status }) => status?.phase === "Succeeded");
    if (isMade && !isTraffic) asked.versions = (await ask(`models/${path}`).then((answer) => answer.json())).versions;
  } catch (error) {
    if (error instanceof Locked) return;
    if (error instanceof Refused && error.status === 404) asked.isGone = true;
    else asked.error = error instanceof Refused ? error.message : "no connection to the server";
  }
  if (asked === detail) draw();
}

// --- What goes out -----------------------------------------------------------------------------------------------

let pending = [];
let spokenAt = 0;

/** Speaks what changed, seldom enough to be followed. `before`: `null` at the first answer. */
function tell(before, rows) {
  if (before === null) return;
  const changed = rows.filter((row) => before.has(row.model) && before.get(row.model).word !== row.word);
  if (changed.length) toSpeak(changed.map((row) => [row.model, wordOf(row.word).text]));
}

/** Queues pairs of what something is about, and what is said of it: of two about the same, the later one is spoken. */
function toSpeak(pairs) {
  if (!pending.length) setTimeout(speak, Math.max(0, spokenAt + SPOKEN_MS - Date.now()));
  pending.push(...pairs);
}

function speak() {
  const last = new Map(pending);
  const named = [...last].slice(0, 3).map(([about, said]) => `${about}: ${said}`);
  spoken.textContent = named.join("; ") + (last.size > 3 ? `; and ${last.size - 3} more` : "");
  pending = [];
  spokenAt = Date.now();
}

// --- Where we are ------------------------------------------------------------------------------------------------

/** What the address asks for: `{ model }` or `{ selection }`. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const [, model] = /^\/models\/([^/]+)$/.exec(path) ?? [];
  return model ? { model: decoded(model) } : { selection: wanted(new URLSearchParams(query)) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Changes the selection without a step in the browser's history for each letter. */
function go(address) {
  history.replaceState(null, "", address);
  draw();
}

function arrive() {
  const { model } = place();
  const came = detail;
  detail = model ? { name: model, since: Date.now() } : undefined;
  if (detail) {
    load();
    setTimeout(draw, SLOW_MS);
  }
  drawNow();
  if (came?.name === model) return;
  if (model) lastRow = model;
  scrollTo(0, 0);
  const row = !model && came && scrollToRow(lastRow);
  (row || main.querySelector("h1, h2") || main).focus({ preventScroll: true });
}

/** Goes back to the row that somebody left the list by. */
function scrollToRow(name) {
  const at = order.indexOf(name);
  const rows = document.getElementById("rows");
  if (at < 0 || !rows) return undefined;
  const y = rows.getBoundingClientRect().top + scrollY + at * rowHeight();
  if (y > scrollY + innerHeight * 0.8) scrollTo(0, y - innerHeight / 2);
  drawNow();
  return rows.querySelector(`[data-row="${CSS.escape(name)}"]`) ?? undefined;
}

// --- Drawing -----------------------------------------------------------------------------------------------------

let isDue = false;
function draw() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(drawNow);
}

function drawNow() {
  isDue = false;
  const { model, selection } = place();
  const isStale = staleness() !== undefined;
  document.documentElement.classList.toggle("stale", isStale && link.how !== "locked");
  patch(top, bar());
  patch(notice, banner());
  patch(main, link.how === "locked" ? door() : model ? onePage(model) : listPage(selection));
  document.title = titleOf(model);
}

function titleOf(model) {
  if (!known) return "Aurora";
  const needing = [...known.models.values()].filter((row) => row.word && groupOf(row) === "needs").length;
  const about = model ?? known.environment?.name;
  return `${needing ? `(${needing}) ` : ""}${about ? `${about} · ` : ""}Aurora`;
}

const seconds = () => (age.seconds === null ? null : age.seconds + (Date.now() - age.heard) / 1000);

/** Why what is shown may be old; nothing where it is fresh. */
function staleness() {
  if (!known) return undefined;
  const old = seconds();
  const unheard = (Date.now() - age.heard) / 1000;
  if (link.how === "lost" && unheard > 2)
    return `Not connected: ${link.why}. What is shown was heard ${duration(unheard)} ago.`;
  if (unheard > STALE_SECONDS && link.how !== "polling") return `Nothing was heard for ${duration(unheard)}.`;
  if (known.error) return `The state cannot be read: ${known.error}`;
  if (old !== null && old > STALE_SECONDS)
    return `The knowledge is ${duration(old)} old: what makes it does not run, or cannot write. What serves goes on serving.`;
  return undefined;
}

function ageText() {
  const old = seconds();
  return old === null ? "knowledge of unknown age" : `knowledge ${duration(old)} old`;
}

const HOW = {
  connecting: "Connecting",
  live: "Live",
  polling: "Asking every 5 s",
  lost: "Not connected",
  locked: "Locked",
};

function bar() {
  return [
    h("a", { class: "brand", href: "#/" }, h("span", { class: "logo", "aria-hidden": "true" }), "Aurora"),
    known?.environment?.name && h("span", { class: "environment" }, known.environment.name),
    h(
      "span",
      { class: `link link-${link.how}`, title: link.why ?? null },
      h("span", { class: "pulse", "aria-hidden": "true" }),
      HOW[link.how],
    ),
    h(
      "button",
      { class: "quiet theme", type: "button", onclick: turnTheme, title: "System, light or dark" },
      `Theme: ${theme()}`,
    ),
    key.get() && h("button", { class: "quiet", type: "button", onclick: leave }, "Forget key"),
  ];
}

function banner() {
  const why = staleness();
  if (link.how === "locked") return undefined;
  if (!why) return known?.trouble?.map((text) => h("div", { class: "banner" }, h("p", null, text)));
  const wait = link.how === "lost" && link.retryAt && Math.ceil((link.retryAt - Date.now()) / 1000);
  return h(
    "div",
    { class: "banner" },
    h("p", null, why, wait > 0 && ` Trying again in ${wait} s.`),
    link.how === "lost" && h("button", { type: "button", onclick: () => wake() }, "Try now"),
  );
}

function listPage(selection) {
  if (!known) return waiting();
  if (!known.environment)
    return empty("No models are looked at here", "This process shows the state of none; the control plane does.");
  const models = [...known.models.values()];
  const rows = select(models, selection);
  const selected = JSON.stringify(selection);
  const list = document.getElementById("rows");
  const isIn = list?.contains(document.activeElement);
  if (isIn && order.selected === selected) steady(rows, order);
  order = rows.map((row) => row.model);
  order.selected = selected;
  const height = rowHeight();
  const above = list ? list.getBoundingClientRect().top : 0;
  const focused = isIn ? order.indexOf(document.activeElement.dataset.row) : -1;
  const frame = { height, top: -above, bottom: innerHeight - above, focused };
  return h(
    "div",
    { key: "list" },
    overview({
      overview: { environment: known.environment, models },
      rows,
      selection,
      age: ageText(),
      frame,
      isNarrow: innerWidth < NARROW,
      go,
    }),
  );
}

function onePage(name) {
  return h(
    "div",
    { key: `model ${name}` },
    modelPage({
      name,
      row: known?.models.get(name),
      detail,
      isSlow: detail !== undefined && Date.now() - detail.since > SLOW_MS,
      now: Date.now(),
      redraw: draw,
    }),
  );
}

/** Before the first answer: nothing for a moment, then that it loads, or why it does not. */
function waiting() {
  if (link.how === "lost") {
    return h(
      "div",
      { class: "empty" },
      h("h1", { tabindex: "-1" }, "No answer yet"),
      h("p", null, `${link.why}. The page goes on trying.`),
      h("button", { type: "button", onclick: () => wake() }, "Try now"),
    );
  }
  return (
    Date.now() - began > SLOW_MS &&
    h(
      "div",
      { class: "empty" },
      h("h1", { tabindex: "-1" }, "Loading"),
      h("p", { class: "muted" }, "Asking for the status …"),
    )
  );
}

/** Asks for the key; it is kept for this tab only. */
function door() {
  const enter = (event) => {
    event.preventDefault();
    const field = event.target.elements.key;
    if (!field.value) return;
    key.set(field.value);
    field.value = "";
    link = { how: "connecting" };
    wake();
    draw();
  };
  return h(
    "form",
    { class: "panel door", onsubmit: enter },
    h("h1", { tabindex: "-1" }, "A key is needed"),
    link.why && h("p", { class: "warning" }, `The key was not taken: ${link.why}.`),
    h("label", { for: "key" }, "Key of the control plane"),
    h("input", { id: "key", name: "key", type: "password", autocomplete: "current-password", required: true }),
    h(
      "p",
      { class: "muted" },
      "It stays in this tab and is sent in a header only. ",
      h("code", null, "aurora key new"),
      " makes one.",
    ),
    h("button", { type: "submit" }, "Open"),
  );
}

function leave() {
  key.forget();
  location.reload();
}

const theme = () => document.documentElement.dataset.theme ?? "system";

function turnTheme() {
  const { dataset } = document.documentElement;
  const then = { system: "light", light: "dark", dark: undefined }[theme()];
  if (then) dataset.theme = then;
  else delete dataset.theme;
  try {
    if (then) localStorage.setItem("aurora-theme", then);
    else localStorage.removeItem("aurora-theme");
  } catch {
    // It holds for as long as this page does.
  }
  draw();
}

/** The height of a row in pixels: the style sheet's, which follows the reader's font size. */
function rowHeight() {
  const sheet = getComputedStyle(document.documentElement);
  return Number.parseFloat(sheet.getPropertyValue("--row")) * Number.parseFloat(sheet.fontSize);
}

const { wake } = follow({
  take,
  say: (how) => {
    if (link.how !== how.how) toSpeak([["Connection", HOW[how.how]]]);
    const isNewlyLocked = how.how === "locked" && link.how !== "locked";
    link = how;
    if (isNewlyLocked) {
      drawNow();
      document.getElementById("key").focus();
    }
    if (how.how === "live" && detail && !detail.data && !detail.isGone) load();
    draw();
  },
});
// The address after the hash is ours: going to the content must not change it.
document.querySelector(".skip").onclick = (event) => {
  event.preventDefault();
  main.focus();
};
addEventListener("hashchange", arrive);
addEventListener("scroll", draw, { passive: true });
addEventListener("resize", draw);
setInterval(draw, 1000);
setInterval(() => {
  const isSeen = document.visibilityState === "visible" && (link.how === "live" || link.how === "polling");
  if (detail?.data && isSeen) load({ isTraffic: true });
}, TRAFFIC_MS);
setTimeout(draw, SLOW_MS);
arrive();
