// All models of the environment: what needs somebody first. Of a long list only the rows in sight are built.

import { h } from "./dom.js";
import {
  GROUPS,
  badge,
  empty,
  findings,
  groupOf,
  next,
  pageOf,
  rankOf,
  sentence,
  shape,
  splitBar,
  tone,
  waits,
  weights,
  wordOf,
} from "./parts.js";
import { many, moment, revision } from "./text.js";

/** Findings beyond these are folded away, on a wide screen and on a narrow one: the models are not to be far below. */
const FINDINGS_OPEN = { wide: 3, narrow: 1 };
/** Rows built beyond each edge of the window. */
const BEYOND = 6;

const SORTS = {
  urgency: {
    label: "Status",
    compare: (a, b) =>
      Object.keys(GROUPS).indexOf(groupOf(a)) - Object.keys(GROUPS).indexOf(groupOf(b)) ||
      rankOf(a.word) - rankOf(b.word),
  },
  name: { label: "Model", compare: () => 0 },
  version: { label: "Stable", compare: (a, b) => descending(a.stable?.version, b.stable?.version) },
  weight: { label: "Canary", compare: (a, b) => b.weight - a.weight },
  revision: { label: "Commit", compare: (a, b) => descending(a.revision, b.revision) },
  since: { label: "Since", compare: (a, b) => descending(a.since, b.since) },
};

/** Names, versions, commits and moments are ASCII: their bytes are their order. */
const ascending = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const descending = (a, b) => ascending(b ?? "", a ?? "");

/** What the address asks for: `{ text, group, sort }`. */
export function wanted(query) {
  const sort = query.get("sort");
  const group = query.get("show");
  return {
    text: query.get("q") ?? "",
    group: group in GROUPS ? group : null,
    sort: sort in SORTS ? sort : "urgency",
  };
}

/** The address of another selection. */
function addressOf({ text, group, sort }) {
  const query = new URLSearchParams();
  if (text) query.set("q", text);
  if (group) query.set("show", group);
  if (sort !== "urgency") query.set("sort", sort);
  const written = query.toString();
  return written ? `#/?${written}` : "#/";
}

/** The rows that were asked for, in order. */
export function select(models, { text, group, sort }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = (row) => {
    if (!words.length) return true;
    const { model, word, reason, stable, canary, revision } = row;
    const about = [model, wordOf(word).text, word, reason, stable?.version, canary?.version, revision]
      .join(" ")
      .toLowerCase();
    return words.every((word) => about.includes(word));
  };
  const { compare } = SORTS[sort];
  return models
    .filter((row) => (!group || groupOf(row) === group) && matches(row))
    .sort((a, b) => compare(a, b) || ascending(a.model, b.model));
}

/** Order as it was while somebody's focus is in the list: nothing moves away under a finger. */
export function steady(rows, before) {
  const at = new Map(before.map((name, index) => [name, index]));
  return rows.sort((a, b) => (at.get(a.model) ?? at.size) - (at.get(b.model) ?? at.size));
}

export function overview({ overview, rows, selection, age, frame, isNarrow, go }) {
  const { environment, models } = overview;
  return [
    h(
      "div",
      { class: "hero" },
      h("h1", { tabindex: "-1" }, sentence(overview), " ", h("span", { class: "age" }, age)),
      h("p", { class: "muted" }, ground(environment)),
      isNews(environment, models) && about(environment),
    ),
    problems(environment, isNarrow ? FINDINGS_OPEN.narrow : FINDINGS_OPEN.wide),
    models.length ? table({ models, rows, selection, frame, go }) : nothing(environment),
  ];
}

/** Where this is, and at which commit. */
function ground(environment) {
  const { attempted_revision: attempted, applied_revision: applied, next_wake_up: wakes } = environment;
  const known = [
    environment.name && ["environment ", h("b", null, environment.name)],
    applied && ["commit ", revision(applied), " applied"],
    attempted && attempted !== applied && ["commit ", revision(attempted), " attempted"],
    wakes && ["next pass due ", moment(wakes)],
  ];
  return known.filter(Boolean).map((part, at) => [at > 0 && " · ", part]);
}

/** Whether nothing below says why the environment stands as it does. */
function isNews({ word, message, findings }, models) {
  return (
    word &&
    word !== "Serving" &&
    !models.some((row) => row.word === word) &&
    !findings.some((finding) => finding.message === message)
  );
}

function about(environment) {
  return h(
    "div",
    { class: `about ${tone(environment.word)}` },
    badge(environment.word),
    h("div", null, h("p", null, environment.message), environment.next && next(environment.next)),
  );
}

function problems({ findings: found, findings_count: count, waits: waiting }, open) {
  const more = count - open;
  return [
    count > 0 &&
      h(
        "section",
        { class: "panel problems", "aria-label": "Findings" },
        h("h2", null, many(count, "finding")),
        findings(found.slice(0, open)),
        more > 0 &&
          h(
            "details",
            null,
            h("summary", null, many(more, "more finding")),
            findings(found.slice(open)),
            count > found.length && h("p", { class: "muted" }, `The oldest ${found.length} of ${count} are shown.`),
          ),
      ),
    waiting.length > 0 &&
      h(
        "details",
        { class: "panel fold" },
        h("summary", null, `${many(waiting.length, "thing waits", "things wait")} for something else`),
        waits(waiting),
      ),
  ];
}

function nothing(environment) {
  if (!environment.attempted_revision) {
    return h("p", null, "The first pass over the repository is still to come.");
  }
  return h(
    "p",
    null,
    "Commit an MLDeployment to the folder ",
    h("code", null, `environments/${environment.name ?? "NAME"}/`),
    " and it appears here.",
  );
}

function table({ models, rows, selection, frame, go }) {
  const counts = {};
  for (const row of models) counts[groupOf(row)] = (counts[groupOf(row)] ?? 0) + 1;
  return h(
    "section",
    { "aria-label": "Models" },
    proportions(counts, models.length),
    h(
      "div",
      { class: "tools" },
      h(
        "nav",
        { class: "chips", "aria-label": "Show" },
        chip(selection, null, "All", models.length),
        Object.entries(GROUPS).map(([group, label]) => chip(selection, group, label, counts[group] ?? 0)),
      ),
      h("input", {
        id: "filter",
        class: "filter",
        type: "search",
        "aria-label": "Filter by name, version, word or commit",
        placeholder: "Filter models",
        autocomplete: "off",
        spellcheck: "false",
        value: selection.text,
        oninput: (event) => go(addressOf({ ...selection, text: event.target.value })),
        onkeydown: (event) => event.key === "ArrowDown" && step(event, 0),
      }),
    ),
    rows.length > 0 &&
      h(
        "div",
        { role: "table", class: "table", "aria-label": "Models", "aria-rowcount": rows.length + 1 },
        h(
          "div",
          { role: "rowgroup", class: "heads" },
          h(
            "div",
            { role: "row", class: "row head" },
            Object.keys(SORTS).map((sort) => head(selection, sort)),
          ),
        ),
        h(
          "div",
          { role: "rowgroup", id: "rows", class: "rows", css: { height: `${rows.length * frame.height}px` } },
          visible(rows.length, frame).map((at) => rowOf(rows[at], at, frame.height)),
        ),
      ),
    !rows.length &&
      empty("No model matches", `${many(models.length, "model")} exist. `, h("a", { href: "#/" }, "Show them all")),
  );
}

function chip(selection, group, label, count) {
  const isShown = selection.group === group;
  return h(
    "a",
    {
      class: `chip${isShown ? " chosen" : ""}`,
      href: addressOf({ ...selection, group }),
      "aria-current": isShown ? "true" : null,
    },
    label,
    " ",
    h("b", null, count.toLocaleString("en")),
  );
}

/** How the models stand together, as one bar. */
function proportions(counts, total) {
  let x = 0;
  const parts = Object.keys(GROUPS).filter((group) => counts[group]);
  return h(
    "svg",
    { class: "proportions", viewBox: "0 0 1000 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    parts.map((group, at) => {
      const width = (counts[group] / total) * 1000;
      const gap = at + 1 < parts.length ? 3 : 0;
      const part = h("rect", { key: group, x, width: Math.max(width - gap, 1), height: 8, class: `part-${group}` });
      x += width;
      return part;
    }),
  );
}

function head(selection, sort) {
  const isSorted = selection.sort === sort;
  return h(
    "div",
    {
      role: "columnheader",
      class: `cell-${sort}`,
      "aria-sort": isSorted ? (sort === "name" || sort === "urgency" ? "ascending" : "descending") : null,
    },
    h("a", { class: isSorted ? "sort sorted" : "sort", href: addressOf({ ...selection, sort }) }, SORTS[sort].label),
  );
}

/**
 * The indices of the rows to build: those in sight, a few beyond, and the one that has the focus.
 * `top` and `bottom` of the window are measured from the list's upper edge, which may be far above or below it.
 */
export function visible(count, { height, top, bottom, focused }) {
  const first = Math.max(0, Math.floor(top / height) - BEYOND);
  const last = Math.min(count - 1, Math.ceil(bottom / height) + BEYOND);
  const built = [];
  for (let at = first; at <= last; at += 1) built.push(at);
  const hasFocus = focused >= 0 && focused < count;
  if (hasFocus && !built.includes(focused)) built.push(focused);
  return built.sort((a, b) => a - b);
}

function rowOf(row, at, height) {
  const { model, word, stable, canary, drifted } = row;
  const group = groupOf(row);
  return h(
    "div",
    {
      key: model,
      role: "row",
      class: `row model ${tone(word)} of-${group}`,
      "aria-rowindex": at + 2,
      css: { transform: `translateY(${at * height}px)` },
      onkeydown: (event) => {
        const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (by) step(event, at + by);
      },
    },
    h("div", { role: "cell", class: "cell-urgency" }, shape(word), h("span", null, wordOf(word).text)),
    h(
      "div",
      { role: "cell", class: "cell-name" },
      h("a", { class: "name", href: pageOf(model), "data-row": model }, model),
      h("span", { class: "why", title: row.message ?? null }, why(row)),
    ),
    h("div", { role: "cell", class: "cell-version" }, label("stable"), h("code", null, stable?.version ?? "–")),
    h(
      "div",
      { role: "cell", class: "cell-weight" },
      label("canary"),
      canary || row.declared?.canary
        ? [
            h("span", { class: "amount" }, weights(row)),
            splitBar(row),
            h("code", null, (canary ?? row.declared.canary).version),
          ]
        : h("span", { class: "muted" }, "–"),
    ),
    h(
      "div",
      { role: "cell", class: "cell-revision" },
      label("commit"),
      revision(row.revision),
      drifted && h("span", { class: "drift", title: "somebody changed it behind Git's back" }, "drifted"),
    ),
    h("div", { role: "cell", class: "cell-since" }, label("since"), moment(row.since)),
  );
}

/** Beside a value where the column's head is not in sight: on a phone. */
const label = (text) => h("span", { class: "label" }, text);

function why({ word, message, next: then, run, blocked_by: blocker }) {
  if (run?.phase === "Running") {
    const progress = run.progress_percent === null ? "" : ` ${run.progress_percent} %`;
    if (word === "Serving") return `serves; trains ${run.version ?? "a version"}${progress}`;
  }
  if (!message) return "nothing serves it, and nothing is to";
  if (blocker && !message.includes(blocker)) return `${message} (first: ${blocker})`;
  return word === "Serving" || !then ? message : `${message} → ${then}`;
}

/** Moves the focus to a row of the list. */
function step(event, to) {
  const rows = document.getElementById("rows");
  const target = rows.querySelector(`[aria-rowindex="${to + 2}"] a`) ?? (to < 0 && document.getElementById("filter"));
  if (!target) return;
  event.preventDefault();
  target.focus();
  target.scrollIntoView({ block: "nearest" });
}
