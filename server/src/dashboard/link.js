// The connection to the status API: one stream of events while the page is seen, else questions by ETag. The key travels in
// a header, never in an address. Nobody is asked in a tight loop, and after 401 nobody is asked at all until there is
// another key.

/** A first frame later than this means that something on the way holds the stream back. */
const FIRST_FRAME_MS = 5_000;
/** Beats come every 5 s: a stream without any frame for this long is dead, whatever its socket says. */
const SILENCE_MS = 15_000;
const POLL_MS = 5_000;
/** How long a page that cannot stream polls before it tries the stream again. */
const POLLING_MS = 120_000;
const HIDDEN_POLL_MS = 30_000;
/** A tab that is hidden for longer gives its stream back: a browser has six connections for all of them. */
const HIDDEN_GRACE_MS = 10_000;
/** How often a locked page looks whether it was given a key, besides when it is woken. */
const LOCKED_MS = 60_000;
const BACK_OFF_MS = [500, 30_000];
const KEY = "aurora-key";

/** What the server refuses without another key. */
export class Locked extends Error {}

/** An answer that is not 2xx: its status, and what the server said. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The key, for as long as the tab is there. Where storage is switched off it lasts until the page is loaded again. */
export const key = {
  held: stored(() => sessionStorage.getItem(KEY)),
  get: () => key.held,
  set(text) {
    key.held = text;
    stored(() => sessionStorage.setItem(KEY, text));
  },
  forget() {
    key.held = undefined;
    stored(() => sessionStorage.removeItem(KEY));
  },
};

function stored(use) {
  try {
    return use() ?? undefined;
  } catch {
    return undefined;
  }
}

/** Asks with the key; gives answers of 2xx and 304. Throws `Locked`, `Refused`, or what `fetch` throws. */
export async function ask(path, { headers = {}, signal } = {}) {
  const secret = key.get();
  if (secret) headers = { ...headers, "x-api-key": secret };
  const answer = await fetch(path, { headers, signal, cache: "no-store", redirect: "error" });
  if (answer.ok || answer.status === 304) return answer;
  const said = await answer.json().then(
    (body) => body.error,
    () => undefined,
  );
  if (answer.status === 401) throw new Locked(said ?? "a key is needed");
  throw new Refused(answer.status, said ?? `the server answered ${answer.status}`);
}

/**
 * Follows the status until the page goes. `take(event, data)` gets `snapshot`, `current`, `change` and `beat` as the API
 * has them; `say(how)` gets `{ how: "live" | "polling" | "lost" | "locked", why?, retryAt? }`. Returns `wake()`, which
 * ends a wait: for a new key, or after a click on "try now".
 */
export function follow({ take, say }) {
  let end = () => {};
  let lastId = null;
  let etag = null;
  let failures = 0;

  const pause = (ms) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      end = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  async function poll() {
    const answer = await ask("status", { headers: etag ? { "if-none-match": etag } : {} });
    if (answer.status === 304) {
      const age = answer.headers.get("aurora-age-seconds");
      take("beat", { age_seconds: age === null ? null : Number(age) });
      return;
    }
    etag = answer.headers.get("etag");
    const data = await answer.json();
    lastId = data.id ?? null;
    take("snapshot", data);
  }

  /** Polls for `ms`, or while the page is hidden. */
  async function pollFor(ms, why) {
    const until = Date.now() + ms;
    do {
      await poll();
      failures = 0;
      say({ how: "polling", why });
      await pause(document.hidden ? HIDDEN_POLL_MS : POLL_MS);
    } while (Date.now() < until && !document.hidden);
  }

  /** Reads the stream until it ends; says whether any frame came. */
  async function stream() {
    const abort = new AbortController();
    let frames = 0;
    let watch = setTimeout(() => abort.abort(), FIRST_FRAME_MS);
    let grace;
    const hiding = () => {
      clearTimeout(grace);
      if (document.hidden) grace = setTimeout(() => abort.abort(), HIDDEN_GRACE_MS);
    };
    document.addEventListener("visibilitychange", hiding);
    try {
      const headers = { accept: "text/event-stream" };
      if (lastId) headers["last-event-id"] = lastId;
      const answer = await ask("status/events", { headers, signal: abort.signal });
      for await (const { event, id, data } of framesOf(answer.body)) {
        clearTimeout(watch);
        watch = setTimeout(() => abort.abort(), SILENCE_MS);
        frames += 1;
        failures = 0;
        if (id) lastId = id;
        // What polling knew is older from here on.
        etag = null;
        take(event, JSON.parse(data));
        say({ how: "live" });
      }
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    } finally {
      clearTimeout(watch);
      clearTimeout(grace);
      document.removeEventListener("visibilitychange", hiding);
      abort.abort();
    }
    return frames > 0;
  }

  async function turn() {
    if (document.hidden) return pollFor(0, "hidden");
    try {
      if (await stream()) return pause(jitter(BACK_OFF_MS[0]));
      return await pollFor(POLLING_MS, "the stream of changes is held back on its way here");
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // No place left among the streams, or nothing there that streams.
      return pollFor(POLLING_MS, error.message);
    }
  }

  async function run() {
    for (;;) {
      try {
        await turn();
      } catch (error) {
        if (error instanceof Locked) {
          say({ how: "locked", why: key.get() ? error.message : undefined });
          key.forget();
          while (!key.get()) await pause(LOCKED_MS);
          continue;
        }
        const [least, most] = BACK_OFF_MS;
        const wait = jitter(Math.min(most, least * 2 ** failures));
        failures += 1;
        const why = error instanceof Refused ? error.message : "no connection to the server";
        say({ how: "lost", why, retryAt: Date.now() + wait });
        await pause(wait);
      }
    }
  }

  document.addEventListener("visibilitychange", () => !document.hidden && end());
  addEventListener("online", () => end());
  run();
  return { wake: () => end() };
}

/** Between half of it and all of it: many pages do not come back at once. */
const jitter = (ms) => ms * (0.5 + Math.random() / 2);

/** Reads server-sent events off a body. */
export async function* framesOf(body) {
  let text = "";
  let frame = {};
  for await (const chunk of chunks(body.pipeThrough(new TextDecoderStream()))) {
    const lines = (text + chunk).split("\n");
    text = lines.pop();
    for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
      if (line === "") {
        if (frame.data !== undefined) yield { event: "message", ...frame };
        frame = {};
        continue;
      }
      const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
      if (name === "data" && frame.data !== undefined) frame.data += `\n${value}`;
      else if (["event", "id", "data"].includes(name)) frame[name] = value;
    }
  }
}

/** Not every browser can iterate over a stream by itself. */
async function* chunks(stream) {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
