// One model, in the order in which somebody on call reads: what serves and whose commit that is, why it is not what Git
// says, how the rollout goes, what the canary would change, and where all that came from.

import { acrossVersions, lossCurves, splitOverTime } from "./charts.js";
import { comparisonTable } from "./compare.js";
import { h } from "./dom.js";
import { badge, empty, findings, next, splitBar, tone, waits, weights, wordOf } from "./parts.js";
import { away, digest, duration, local, many, moment, number, revision } from "./text.js";
import { trial } from "./trial.js";

/**
 * `row`: the model in the overview, or nothing; `detail`: `{ data?, versions?, error?, isGone? }` of the model's own answer;
 * `isSlow`: nothing came for a while; `redraw`: draws the page anew.
 */
export function modelPage({ name, row, detail, isSlow, now, redraw }) {
  const data = detail?.data;
  const summary = row ?? data?.summary;
  const crumb = h("nav", { class: "crumb", "aria-label": "Where this is" }, h("a", { href: "#/" }, "All models"));
  if (!summary && detail?.isGone) {
    return [
      crumb,
      h("h1", { tabindex: "-1" }, name),
      empty(
        "Nobody knows this model",
        "No object, no finding and no version names it. ",
        h("a", { href: "#/" }, "All models"),
      ),
    ];
  }
  return [
    crumb,
    headline(name, summary, data?.findings),
    detail?.error && h("p", { class: "panel warning" }, `What follows may be old: ${detail.error}`),
    data
      ? sections({ name, summary: summary ?? data.summary, data, versions: detail.versions, now, redraw })
      : isSlow && h("p", { class: "muted" }, "Loading …"),
  ];
}

/** Says whether the headline says what a finding says. */
const isSaid = (summary, { reason, message }) => summary?.reason === reason && summary.message === message;

function headline(name, summary, findings = []) {
  const where = findings.find((one) => isSaid(summary, one))?.location;
  const { word, message, next: then, since, suspended } = summary ?? {};
  return h(
    "div",
    { class: "hero" },
    h(
      "div",
      { class: "headline" },
      h("h1", { tabindex: "-1" }, name),
      summary && badge(word, "large"),
      since && h("span", { class: "muted" }, "since ", moment(since)),
    ),
    message &&
      h(
        "div",
        { class: `about ${tone(word)}` },
        h(
          "div",
          null,
          h("p", null, message),
          then && next(then),
          where && h("p", { class: "where" }, h("code", null, where)),
          suspended && h("p", null, suspended),
        ),
      ),
  );
}

function sections({ name, summary, data, versions, now, redraw }) {
  const deployment = data.deployments[0];
  const history = [...data.history].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  const { stable, canary } = data.tracks ?? {};
  const transitions = deployment?.status?.history ?? [];
  const curves = Object.entries({ stable, canary })
    .map(([track, metadata]) => ({ track, losses: metadata?.fit?.loss ?? [] }))
    .filter(({ losses }) => losses.length > 1);
  return [
    h("div", { class: "tracks" }, served({ summary, data, history }), whyNot({ name, summary, data })),
    (summary.canary || summary.declared?.canary || transitions.some(({ weight }) => weight > 0)) &&
      panel(
        "Rollout",
        splitOverTime({
          history: transitions,
          most: summary.declared?.canary ? summary.declared.weight : null,
          now,
          width: Math.min(1190, Math.max(320, innerWidth - 70)),
        }),
      ),
    (stable || canary) &&
      panel(stable && canary ? "Stable ↔ canary" : "What it is", comparisonTable({ stable, canary })),
    h(
      "div",
      { class: "columns" },
      panel(
        "Training",
        data.trainings.length
          ? data.trainings.map((job) => training(job, data.findings))
          : h("p", { class: "muted" }, "No MLTrainingJob makes its versions."),
        curves.length > 0 && lossCurves(curves),
      ),
      panel(
        "History",
        history.length
          ? h("ol", { class: "history" }, history.map(entry))
          : h("p", { class: "muted" }, "No alias was moved yet."),
      ),
    ),
    versions?.length > 0 && panel("Versions", versionsOf(versions, summary)),
    (stable ?? canary) && panel("Try a row", trial({ name, tracks: { stable, canary }, redraw })),
  ];
}

const panel = (title, ...content) =>
  h("section", { class: "panel", "aria-label": title, key: title }, h("h2", null, title), ...content);

function served({ summary, data, history }) {
  const share = summary.weight;
  return [
    track({
      title: "stable",
      is: summary.stable,
      since: data.stable?.since,
      share: 100 - share,
      change: newest(history, "stable", summary.stable),
      traffic: data.traffic?.stable,
    }),
    (summary.canary || summary.declared?.canary) &&
      track({
        title: "canary",
        is: summary.canary,
        since: newest(history, "canary", summary.canary)?.at,
        share,
        change: newest(history, "canary", summary.canary),
        traffic: data.traffic?.canary,
        split: summary,
      }),
  ];
}

/** The entry that made an alias name what it names. */
const newest = (history, alias, is) => is && history.find((entry) => entry.alias === alias && entry.to === is.version);

function track({ title, is, since, share, change, traffic, split }) {
  return h(
    "div",
    { class: `panel track-card of-${title}`, key: title, role: "group", "aria-label": `What serves as ${title}` },
    h(
      "div",
      { class: "track-head" },
      h("h2", null, h("span", { class: `track track-${title}` }, title)),
      h("span", { class: "share" }, is ? `${share} %` : "–", h("small", null, " of requests")),
    ),
    split &&
      h("p", { class: "set" }, splitBar(split), h("span", { class: "muted" }, `live → set in Git: ${weights(split)}`)),
    is
      ? h(
          "dl",
          null,
          fact("Version", h("code", null, is.version)),
          fact("Digest", digest(is.digest)),
          fact("Since", since ? moment(since, (at) => `${away(at)} (${local(at)})`) : "–"),
          change && fact("Commit", [revision(change.revision), " by ", change.actor]),
        )
      : h("p", { class: "muted" }, "Nothing serves on this track."),
    is && answered(traffic),
  );
}

/** What a track answered over the last minute: three numbers, each with what it counts. */
function answered(traffic) {
  if (!traffic)
    return h(
      "p",
      { class: "muted traffic-unknown" },
      "Requests, latency and errors: ",
      h("code", null, "/metrics"),
      " of what serves it",
    );
  const { seconds, requests, errors, per_second: rate, p50_ms: half, p99_ms: most } = traffic;
  const over = seconds < 55 ? `in ${duration(seconds)}` : "in the last minute";
  const figure = (name, value, about, isBad) =>
    h("div", { class: isBad ? "bad" : null }, h("dt", null, name), h("dd", null, value, h("small", null, about)));
  return h(
    "dl",
    { class: "traffic" },
    figure("Requests", `${number(Number(rate.toPrecision(2)))} /s`, `${many(requests, "request")} ${over}`),
    figure("Errors", requests ? percent(errors / requests) : "–", `${number(errors)} of ${number(requests)}`, errors > 0),
    figure("p50 · p99", requests ? `${milliseconds(half)} · ${milliseconds(most)}` : "–", "from last byte to answer"),
  );
}

const percent = (part) => `${number(part * 100)} %`;
const milliseconds = (value) => `${value < 10 ? number(Number(value.toPrecision(2))) : Math.round(value)} ms`;

const fact = (name, value) => [h("dt", null, name), h("dd", null, value)];

/** Whatever keeps it from what Git says; one line where nothing does. */
function whyNot({ name, summary, data }) {
  const { stable, canary, declared, drifted } = summary;
  const differs = (pin, is) => pin && pin.version !== is?.version;
  const pairs = declared
    ? [
        ["stable", declared.stable, stable],
        ["canary", declared.canary, canary],
      ].filter(([, pin, is]) => differs(pin, is) || (!pin && is))
    : [];
  const others = data.findings.filter((one) => !isSaid(summary, one));
  const isBehind = pairs.length > 0 || others.length > 0 || data.waits.length > 0 || drifted;
  if (!isBehind) {
    const serves = wordOf(summary.word).group === "serving";
    return (
      serves &&
      h(
        "div",
        { class: `panel agrees${summary.canary ? " wide" : ""}`, key: "agrees" },
        h("h2", null, "What Git says"),
        h("p", null, "Exactly this serves, by commit ", revision(summary.revision), "."),
      )
    );
  }
  return h(
    "section",
    {
      class: `panel why-not ${tone(summary.word)}${summary.canary || declared?.canary ? " wide" : ""}`,
      "aria-label": "Why it is not what Git says",
      key: "why",
    },
    h("h2", null, "Why it is not what Git says"),
    pairs.length > 0 &&
      h(
        "ul",
        { class: "pairs" },
        pairs.map(([track, pin, is]) =>
          h(
            "li",
            null,
            h("span", { class: `track track-${track}` }, track),
            " Git says ",
            h("code", null, pin?.version ?? "nothing"),
            ", ",
            is ? h("code", null, is.version) : "nothing",
            " serves",
          ),
        ),
      ),
    drifted &&
      h("p", null, h("span", { class: "drift" }, "drifted"), " Somebody changed the object behind Git's back."),
    findings(others, { withSubject: others.some(({ subject }) => !subject?.endsWith(`/${name}`)) }),
    waits(data.waits),
    h("p", { class: "muted" }, "In a terminal: ", h("code", null, `aurora status ${name}`)),
  );
}

function training({ metadata, spec, status }, findings) {
  const {
    phase,
    message,
    version,
    metrics = {},
    progressPercent,
    startedAt,
    finishedAt,
    nextRun,
    lastSkipped,
  } = status ?? {};
  const isRunning = phase === "Running";
  const took = startedAt && ((finishedAt ? Date.parse(finishedAt) : Date.now()) - Date.parse(startedAt)) / 1000;
  return h(
    "div",
    { class: "training", key: metadata.name },
    h("h3", null, metadata.name, " ", h("span", { class: `phase phase-${phase ?? "none"}` }, phase ?? "no run yet")),
    isRunning &&
      h(
        "p",
        null,
        h("progress", {
          value: String(progressPercent ?? 0),
          max: "100",
          "aria-label": `Progress of ${metadata.name}`,
        }),
        ` ${progressPercent ?? 0} %`,
      ),
    // A finding about the job says why and what to do.
    message && !findings.some(({ subject }) => subject === `MLTrainingJob/${metadata.name}`) && h("p", null, message),
    h(
      "dl",
      null,
      version && fact("Version", h("code", null, version)),
      startedAt && fact(isRunning ? "Runs for" : "Took", duration(took)),
      finishedAt && fact("Ended", moment(finishedAt)),
      Object.entries(metrics).map(([metric, value]) =>
        fact(metric, [h("b", null, number(value)), limit(spec.evaluation, metric)]),
      ),
      nextRun &&
        fact(
          "Next run",
          moment(nextRun, (at) => `${away(at)} (${local(at)})`),
        ),
      lastSkipped && fact("Last skipped", [lastSkipped.reason, ", ", moment(lastSkipped.at)]),
    ),
  );
}

/** What a metric has to reach, where the manifest says so. */
function limit(evaluation, metric) {
  if (evaluation?.metric !== metric) return undefined;
  const { minimum, maximum } = evaluation;
  const text =
    typeof minimum === "number"
      ? `≥ ${number(minimum)} needed`
      : typeof maximum === "number"
        ? `≤ ${number(maximum)} needed`
        : undefined;
  return text && h("span", { class: "muted" }, ` ${text}`);
}

const ACTS = { moved: "now", removed: "removed", aborted: "aborted" };

function entry({ at, event, alias, from, to, revision: commit, actor, reason }, index) {
  const act = ACTS[event.toLowerCase()] ?? event;
  return h(
    "li",
    { class: act === "aborted" ? "aborted" : null, key: `${at} ${alias} ${index}` },
    h(
      "p",
      null,
      h("span", { class: `track track-${alias}` }, alias),
      ` ${act} `,
      to ? h("code", null, to) : from && h("code", null, from),
      to && from && h("span", { class: "muted" }, " after ", h("code", null, from)),
    ),
    reason && h("p", null, reason),
    h(
      "p",
      { class: "muted" },
      moment(at, (at) => `${away(at)}, ${local(at)}`),
      " · ",
      actor,
      commit && [" · ", revision(commit)],
    ),
  );
}

/** The newest versions, with one metric across them where they say it. */
function versionsOf(versions, summary) {
  const named = versions.map((version) => (typeof version === "string" ? { version } : version));
  const trackOf = (version) => ["stable", "canary"].find((track) => summary[track]?.version === version);
  const measured = (version) => version.metrics?.values ?? version.metrics ?? {};
  const metric = Object.keys(measured(named.find((version) => Object.keys(measured(version)).length > 0) ?? {}))[0];
  const points = named
    .filter((version) => metric in measured(version))
    .map((version) => ({
      version: version.version,
      value: measured(version)[metric],
      tone: `dot-${trackOf(version.version) ?? "none"}`,
    }))
    .reverse();
  const line = (version) => {
    const track = trackOf(version.version);
    return h(
      "tr",
      { key: version.version },
      h(
        "th",
        { scope: "row" },
        h("code", null, version.version),
        track && h("span", { class: `track track-${track}` }, track),
      ),
      metric && h("td", { class: "figure" }, number(measured(version)[metric])),
      named.some(({ algorithm }) => algorithm) && h("td", null, version.algorithm ?? "–"),
      named.some(({ trained_at: at }) => at) && h("td", null, moment(version.trained_at)),
    );
  };
  return [
    metric &&
      points.length > 1 &&
      h(
        "figure",
        { class: "chart" },
        acrossVersions(points, metric),
        h("figcaption", null, `${metric} across versions, oldest first`),
      ),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of versions" },
      h(
        "table",
        null,
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            h("th", { scope: "col" }, "Version"),
            metric && h("th", { scope: "col", class: "figure" }, metric),
            named.some(({ algorithm }) => algorithm) && h("th", { scope: "col" }, "Algorithm"),
            named.some(({ trained_at: at }) => at) && h("th", { scope: "col" }, "Trained"),
          ),
        ),
        h("tbody", null, named.slice(0, 20).map(line)),
      ),
    ),
    named.length > 20 && h("p", { class: "muted" }, `The newest 20 of ${number(named.length)}.`),
  ];
}
