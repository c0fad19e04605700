// How things are written: ages, moments, versions, numbers. Each takes what the API says and returns text, or an element.

import { h } from "./dom.js";

const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** Writes a duration in its largest whole unit: `42 s`, `5 min`, `3 d`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [size, unit] = UNITS.find(([size]) => whole >= size) ?? [1, "s"];
  return `${Math.floor(whole / size)}\u00a0${unit}`;
}

/** Writes a moment from here: `5 min ago`, `in 2 h`. */
export function away(at, now = Date.now()) {
  const seconds = (now - Date.parse(at)) / 1000;
  if (Number.isNaN(seconds)) return "–";
  return seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
}

const TO_THE_MINUTE = {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  timeZoneName: "short",
};
const LOCAL = new Intl.DateTimeFormat(undefined, TO_THE_MINUTE);
const EXACT = new Intl.DateTimeFormat(undefined, { ...TO_THE_MINUTE, second: "2-digit" });

/** Writes a moment in the reader's own zone, and names the zone. */
export const local = (at) => formatted(at, LOCAL);

/** As `local`, to the second: for moments that stand beside each other. */
export const exact = (at) => formatted(at, EXACT);

function formatted(at, format) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "–" : format.format(date);
}

/** Shows a moment as its distance; both absolute forms on hovering. */
export function moment(at, write = away) {
  if (!at) return "–";
  return h("time", { datetime: at, title: `${local(at)}\n${at}` }, write(at));
}

/** Writes the first 10 digits of a commit. */
export const revision = (full) => (full ? h("code", { title: full }, full.slice(0, 10)) : "–");

/** Writes the first 12 digits of a digest. */
export function digest(full) {
  if (!full) return "–";
  return h("code", { title: full }, full.replace("sha256:", "").slice(0, 12));
}

/** Writes a number with four significant digits, and whole ones whole. */
export function number(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(3) : String(Number(value.toPrecision(4)));
}

/** Writes a size in the largest binary unit below it. */
export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  const at = Math.min(Math.floor(Math.log2(Math.max(count, 1)) / 10), units.length - 1);
  return `${Number((count / 1024 ** at).toPrecision(3))} ${units[at]}`;
}

/** Writes how many there are of something. */
export const many = (count, one, more = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
