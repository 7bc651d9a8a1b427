// Parts of the page are asked for again when something of their kind moved. Many pages hear of the same thing at
// once, so each waits a moment of its own; several news within it cost one question.
const address = document.querySelector('meta[name="live"]').content;
const SHORTEST = 200; // milliseconds
const SPREAD = 1300;
const BETWEEN = 3000; // two questions for the same part
const AWAY = 10000; // how often urgent parts ask while nobody tells them
const timers = new Map();
const asked = new Map();
const missed = new Set();
let wasAway = false;

function ask(id) {
  timers.delete(id);
  asked.set(id, Date.now());
  document.getElementById(id)?.dispatchEvent(new CustomEvent("news"));
}

function wake(kind) {
  for (const part of document.querySelectorAll("[data-news]")) {
    if (kind && !part.dataset.news.split(" ").includes(kind)) continue;
    if (timers.has(part.id)) continue;
    const rest = (asked.get(part.id) ?? 0) + BETWEEN - Date.now();
    timers.set(part.id, setTimeout(ask, Math.max(rest, 0) + SHORTEST + Math.random() * SPREAD, part.id));
  }
}

function hear(kind) {
  const root = document.documentElement;
  if (kind === "away") {
    wasAway = true;
    root.dataset.live = "away";
  } else if (kind === "open" || kind === "still open") {
    root.dataset.live = "on";
    if (wasAway) wake("");
    wasAway = false;
  } else if (document.hidden && kind !== "critical") {
    missed.add(kind); // asked for when somebody looks again
  } else {
    wake(kind);
  }
  if (!["away", "open", "still open"].includes(kind)) document.dispatchEvent(new CustomEvent("huren:news", { detail: kind }));
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const kind of missed) wake(kind);
  missed.clear();
});
setInterval(() => { if (document.documentElement.dataset.live === "away") wake("critical"); }, AWAY);

try {
  const worker = new SharedWorker(address, { type: "module", name: "huren-live" });
  worker.port.onmessage = (event) => hear(event.data);
  worker.port.start();
  addEventListener("pagehide", (event) => { if (!event.persisted) worker.port.postMessage("gone"); });
} catch {
  const { listen } = await import(address);
  listen(hear);
}
