// What stable and canary serve, side by side: what differs is marked, what is equal recedes.

import { h } from "./dom.js";
import { bytes, digest, moment, number, revision } from "./text.js";

const BETTER_LOWER = new Set(["rmse", "mae", "log_loss"]);
const BETTER_HIGHER = new Set(["r2", "accuracy"]);

/** The rows of a comparison: `[{ group, name, stable, canary, differs, change? }]`, where values are text or elements. */
export function comparison(stable, canary) {
  const both = (group, name, read, show = (value) => value) => {
    const [one, other] = [stable, canary].map((metadata) => (metadata ? read(metadata) : undefined));
    if (one === undefined && other === undefined) return [];
    const differs = Boolean(stable && canary) && JSON.stringify(one) !== JSON.stringify(other);
    const shown = (value) => (value === undefined || value === null ? "–" : show(value));
    return [{ group, name, stable: shown(one), canary: shown(other), differs, values: [one, other] }];
  };
  const union = (read) =>
    [...new Set([stable, canary].flatMap((metadata) => Object.keys(metadata ? (read(metadata) ?? {}) : {})))].sort();
  return [
    ...union((it) => it.metrics?.values).flatMap((name) =>
      both("Metrics", name, (it) => it.metrics?.values?.[name], number).map((row) => ({
        ...row,
        change: change(name, row),
      })),
    ),
    ...both("Metrics", "measured on rows", (it) => it.metrics?.holdout_rows, number),
    ...both("Metrics", "holdout", (it) => it.metrics?.holdout_digest, digest),
    ...both("Metrics", "holdout kept from the fit", (it) => it.lineage?.holdout),
    ...both("Signature", "inputs", (it) => it.signature?.inputs?.map(tensor).join(", ")),
    ...both("Signature", "outputs", (it) => it.signature?.outputs?.map(tensor).join(", ")),
    ...featureRows(stable, canary, both),
    ...both("Signature", "labels", (it) => (it.signature?.labels?.length ? it.signature.labels.join(", ") : undefined)),
    ...both("Signature", "target", (it) => it.signature?.target_column ?? undefined),
    ...both("Signature", "unit", (it) => it.signature?.target_unit ?? undefined),
    ...both(
      "Signature",
      "missing values",
      (it) => it.signature?.missing_values,
      (taken) => (taken ? "taken" : "refused"),
    ),
    ...both("Data", "source", (it) => it.dataset?.uri),
    ...both("Data", "rows", (it) => it.dataset?.rows, number),
    ...both("Data", "digest", (it) => it.dataset?.digest, digest),
    ...both("Hyperparameters", "algorithm", (it) => it.algorithm),
    ...union((it) => it.hyperparameters).flatMap((name) =>
      both("Hyperparameters", name, (it) => it.hyperparameters?.[name], number),
    ),
    ...both("Hyperparameters", "seed", (it) => it.seed, String),
    ...both("Origin", "trained", (it) => it.trained_at, moment),
    ...both("Origin", "commit", (it) => it.lineage?.revision ?? undefined, revision),
    ...both("Origin", "job", (it) => it.lineage?.job ?? undefined),
    ...both("Origin", "source", (it) => it.lineage?.source?.uri),
    ...both("Origin", "source signed by", (it) => it.lineage?.source?.signer?.slice(0, 12)),
    ...both("Origin", "artifact", (it) => it.artifact?.bytes, bytes),
  ];
}

const tensor = ({ name, datatype, shape }) => `${name} ${datatype} [${shape.join(", ")}]`;

/** All features on one line each where they differ; else how many there are. */
function featureRows(stable, canary, both) {
  const names = (metadata) => metadata?.signature?.features?.map(({ name }) => name) ?? [];
  const counted = both(
    "Signature",
    "features",
    (it) => it.signature?.features,
    (features) => `${features.length}`,
  );
  const lacks = (of, one) => names(of).filter((name) => !names(one).includes(name));
  if (!stable || !canary) return counted;
  const [gone, come] = [lacks(stable, canary), lacks(canary, stable)];
  const row = (name, one, other) => ({ group: "Signature", name, stable: one, canary: other, differs: true });
  return [
    ...counted,
    ...(gone.length ? [row("only in stable", gone.join(", "), "–")] : []),
    ...(come.length ? [row("only in canary", "–", come.join(", "))] : []),
  ];
}

/** How a number moved, as text with a sign, and of a metric whether that is for the better; nothing where it cannot be said. */
export function change(name, { values: [one, other] }) {
  if (typeof one !== "number" || typeof other !== "number" || one === other) return undefined;
  const by = other - one;
  const isBetter = BETTER_LOWER.has(name) ? by < 0 : BETTER_HIGHER.has(name) ? by > 0 : undefined;
  const judged = { true: "better", false: "worse" }[isBetter] ?? "";
  return { text: `${by > 0 ? "+" : "−"}${number(Math.abs(by))}`, judged };
}

/** Shows one alone as lists, and two as a table of what differs, with one group of rows per subject; what is equal is folded. */
export function comparisonTable({ stable, canary }) {
  const rows = comparison(stable, canary);
  const groups = [...new Set(rows.map(({ group }) => group))];
  if (!stable || !canary) return facts(rows, groups, stable ? "stable" : "canary");
  const columns = ["stable", "canary"];
  const grouped = (differs) =>
    groups
      .map((group) => [group, rows.filter((row) => row.group === group && row.differs === differs)])
      .filter(([, rows]) => rows.length > 0);
  const equal = rows.filter((row) => !row.differs).length;
  return [
    equal < rows.length && sideBySide("What differs, side by side", grouped(true), columns),
    equal > 0 &&
      h(
        "details",
        { class: "equal", open: equal === rows.length },
        h("summary", null, equal === 1 ? "1 row is equal" : `${equal} rows are equal`),
        sideBySide("What is equal, side by side", grouped(false), columns),
      ),
  ];
}

/** Shows rows as a table with a column per track; `groups`: pairs of a heading, which may be empty, and its rows. */
export function sideBySide(label, groups, columns) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h(
      "table",
      { class: "compare" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("td"),
          columns.map((track) => h("th", { scope: "col" }, h("span", { class: `track track-${track}` }, track))),
        ),
      ),
      groups.map(([group, rows]) =>
        h(
          "tbody",
          { key: group },
          group && h("tr", { class: "group" }, h("th", { scope: "rowgroup", colspan: columns.length + 1 }, group)),
          rows.map((row) => line(row, columns)),
        ),
      ),
    ),
  );
}

function facts(rows, groups, track) {
  const of = (group) =>
    rows.filter((row) => row.group === group).map((row) => [h("dt", null, row.name), h("dd", null, row[track])]);
  return h(
    "div",
    { class: "facts" },
    groups.map((group) => h("div", { key: group }, h("h3", null, group), h("dl", null, of(group)))),
  );
}

function line(row, columns) {
  return h(
    "tr",
    { key: row.name, class: { true: "differs", false: "same" }[row.differs] },
    h(
      "th",
      { scope: "row" },
      row.differs && h("span", { class: "mark" }, "≠", h("span", { class: "unseen" }, " differs: ")),
      row.name,
    ),
    columns.map((track) =>
      h(
        "td",
        null,
        row[track],
        track === "canary" &&
          row.change &&
          h(
            "span",
            { class: `change ${row.change.judged}` },
            row.change.text,
            row.change.judged && ` ${row.change.judged}`,
          ),
      ),
    ),
  );
}
