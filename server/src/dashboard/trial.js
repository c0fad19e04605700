// A row to try: each track is asked for its prediction by itself. Inference is another origin: a key that it wants is typed
// in here, kept in memory as long as the page is, and sent in a header to that origin alone.

import { change, sideBySide } from "./compare.js";
import { h } from "./dom.js";
import { number } from "./text.js";

/** Where browsers reach inference; empty where this control plane was not told. */
const INFERENCE = document.querySelector('meta[name="inference"]').content;
/** Where inference listens unless somebody says otherwise. */
const INFERENCE_PORT = 8080;
const PATIENCE_MS = 15_000;
/** How many rows of predictions are shown, and how many classes of one row. */
const SHOWN = 20;

let key = "";
let copiedAt = 0;
/** By model: `{ body?, isAsking?, wantsKey?, answers? }`, where `body` is what somebody wrote. */
const trials = new Map();

/** `tracks`: the metadata of what serves, by track; `redraw`: draws the page anew. */
export function trial({ name, tracks, redraw }) {
  const served = Object.keys(tracks).filter((track) => tracks[track]);
  const metadata = tracks[served[0]];
  if (!trials.has(name)) trials.set(name, {});
  const it = trials.get(name);
  return [
    INFERENCE ? form({ name, it, served, metadata, redraw }) : unknown(),
    it.answers && answered(it.answers, metadata.signature?.target_unit),
    call(name, metadata),
  ];
}

function unknown() {
  return h(
    "p",
    { class: "muted" },
    "From here no prediction can be asked for: this control plane was not told where browsers reach inference. Start it with ",
    h("code", null, "--inference-url"),
    ", and inference with ",
    h("code", null, `--dashboard-origin ${location.origin}`),
    ".",
  );
}

function form({ name, it, served, metadata, redraw }) {
  // What stands there when it is sent may be newer than what was drawn.
  const written = () => it.body ?? example(metadata);
  const ask = async (event) => {
    event.preventDefault();
    if (it.isAsking) return;
    it.isAsking = true;
    redraw();
    const body = written();
    const asked = served.map((track) => predict(name, track, body));
    it.answers = await Promise.all(asked);
    it.isAsking = false;
    it.wantsKey ||= it.answers.some(({ status }) => status === 401);
    redraw();
  };
  return h(
    "form",
    { class: "trial", onsubmit: ask },
    h("label", { for: "trial-body" }, `What is sent to ${INFERENCE}/predict/${name}`),
    h("textarea", {
      id: "trial-body",
      value: written(),
      rows: Math.min(16, written().split("\n").length + 1),
      spellcheck: "false",
      oninput: ({ target }) => {
        it.body = target.value;
      },
      onkeydown: (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit();
      },
    }),
    it.wantsKey && [
      h("label", { for: "trial-key" }, "Key of inference"),
      h("input", {
        id: "trial-key",
        type: "password",
        autocomplete: "off",
        value: key,
        oninput: ({ target }) => {
          key = target.value;
        },
      }),
      h("p", { class: "muted" }, "It is kept until this page is left, and sent in a header only."),
    ],
    h(
      "div",
      { class: "acts" },
      h("button", { type: "submit" }, served.length > 1 ? "Ask stable and canary" : `Ask ${served[0]}`),
      it.body !== undefined &&
        h("button", { class: "quiet", type: "button", onclick: () => reset(it, redraw) }, "Back to the example"),
    ),
    h("p", { role: "status", class: it.isAsking ? "muted" : "unseen" }, said(it)),
  );
}

function reset(it, redraw) {
  it.body = undefined;
  redraw();
}

/** A request with the row that was stored when the version was made. */
function example({ example, signature }) {
  const rows = example ? [example.row] : [];
  return JSON.stringify({ rows, ...(signature?.labels?.length && { probabilities: true }) }, null, 2);
}

/** Asks one track: `{ track, version, predictions, … }`, or `{ track, status?, error }`. */
async function predict(name, track, body) {
  const headers = { "content-type": "application/json", "aurora-track": track };
  if (key) headers["x-api-key"] = key;
  try {
    const answer = await fetch(`${INFERENCE}/predict/${name}`, {
      method: "POST",
      headers,
      body,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const { status } = answer;
    const told = await answer.json().catch(() => ({}));
    if (!told.predictions) return { track, status, error: told.error ?? `it answered ${status}, and no predictions` };
    return { track, version: answer.headers.get("aurora-model-version"), ...told };
  } catch {
    const allows = `--dashboard-origin ${location.origin}`;
    const error = `no answer that this page may read from ${INFERENCE}: either this browser cannot reach it, or it does not take calls of this page; ${allows} lets it, where inference is started`;
    return { track, error };
  }
}

/** What is spoken of the answers. */
function said({ isAsking, answers }) {
  if (isAsking) return "Asking …";
  const told = answers?.map(({ track, error, predictions }) => `${track}: ${error ?? predictions.slice(0, 3).map((value) => shown(value)).join(", ")}`);
  return told?.join("; ");
}

function answered(answers, unit) {
  const failed = answers.filter(({ error }) => error);
  const told = answers.filter(({ error }) => !error);
  const isSame = failed.length > 1 && failed.every(({ error }) => error === failed[0].error);
  return [
    (isSame ? failed.slice(0, 1) : failed).map(({ track, error }) =>
      h("p", { class: "warning", key: track }, isSame ? "" : `${track}: `, error),
    ),
    told.length > 0 && sideBySide("Predictions, side by side", [["", rowsOf(told, unit)]], told.map(({ track }) => track)),
  ];
}

/** What was answered, as rows of a comparison: versions, predictions, and of one row the probabilities. */
function rowsOf(answers, unit) {
  const most = Math.max(...answers.map(({ predictions }) => predictions.length));
  const row = (name, read, isJudged) => {
    const values = answers.map(read);
    const cells = answers.map(({ track }, at) => [track, isJudged ? shown(values[at], unit) : h("code", null, values[at])]);
    const differs = isJudged && values.length > 1 ? JSON.stringify(values[0]) !== JSON.stringify(values[1]) : undefined;
    return { name, ...Object.fromEntries(cells), differs, change: isJudged && change(name, { values }) };
  };
  const predicted = Array.from({ length: Math.min(most, SHOWN) }, (_, at) =>
    row(most > 1 ? `row ${at + 1}` : "prediction", ({ predictions }) => predictions[at], true),
  );
  const classes = most === 1 ? (answers[0].classes ?? []) : [];
  const likely = classes.slice(0, SHOWN).map((label) =>
    row(
      `probability of ${label}`,
      ({ classes = [], probabilities }) => probabilities?.[0][classes.indexOf(label)],
      true,
    ),
  );
  return [row("version", ({ version }) => version), ...predicted, ...likely];
}

function shown(value, unit) {
  if (typeof value === "number") return typeof unit === "string" ? `${number(value)} ${unit}` : number(value);
  return typeof value === "string" ? value : value === undefined ? "–" : JSON.stringify(value);
}

/** A request that can be pasted into a shell, with the row that was stored when the version was made. */
export function curl(name, { example }, { protocol, hostname }) {
  const base = INFERENCE || `${protocol}//${hostname}:${INFERENCE_PORT}`;
  const body = JSON.stringify({ rows: [example.row] });
  const quoted = body.replaceAll("'", String.raw`'\''`);
  return `curl -s ${base}/predict/${name} \\\n  -H 'content-type: application/json' \\\n  -d '${quoted}'`;
}

function call(name, metadata) {
  if (!metadata.example) return h("p", { class: "muted" }, "No example row was stored with this version.");
  const text = curl(name, metadata, location);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    copiedAt = Date.now();
  };
  const predicted = metadata.example.prediction.map(number).join(", ");
  const where = INFERENCE ? "" : ` ${INFERENCE_PORT} is where inference listens unless it was told otherwise.`;
  return h(
    "details",
    { open: !INFERENCE },
    h("summary", null, "The same from a shell"),
    h(
      "div",
      { class: "code" },
      h("pre", { tabindex: "0", role: "region", "aria-label": "A request" }, h("code", null, text)),
      navigator.clipboard &&
        h(
          "button",
          { class: "quiet", type: "button", onclick: copy },
          Date.now() - copiedAt < 2000 ? "Copied" : "Copy",
        ),
    ),
    h(
      "p",
      { class: "muted" },
      `A held-out row; it was predicted as ${predicted} when ${metadata.version} was made.${where}`,
    ),
  );
}
