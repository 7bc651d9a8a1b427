// Who works on the open case: told some minutes before one's time ends, when it has ended, and at once when somebody
// else takes the case. Words that were typed here and not saved are shown until they are copied or thrown away.
const box = document.querySelector("#lease");
const unsaved = document.querySelector("#unsaved");
const ASK = 20000; // milliseconds between two questions while nobody tells us
const LOOK = 5000;
const SOON = 5 * 60000; // before the end
const FRESH = 6000; // an answer that is older is asked for again before anybody is warned
const NAMES = ["findings", "impression", "critical"];

function start() {
  const { address, claim, reading, user, zone } = box.dataset;
  const place = `huren-report-${user}-${reading}`; // where static/report.js keeps what is not saved
  const form = document.querySelector("form.report[data-reading]");
  const csrf = document.querySelector('meta[name="csrf"]').content;
  const part = (name) => box.querySelector(`[data-say=${name}]`);
  const keep = box.querySelector("[data-keep-case]");
  const again = box.querySelector("[data-again]");
  let mine = "mine" in box.dataset;
  let endsAt = 0;
  let ahead = 0; // of the server's clock to ours, milliseconds
  let askedAt = 0;
  let timer = 0;

  function clock(iso) {
    const form = new Intl.DateTimeFormat(document.documentElement.lang, { timeZone: zone, hour: "2-digit", minute: "2-digit" });
    return form.format(new Date(iso));
  }
  function left() {
    try { return JSON.parse(localStorage.getItem(place) ?? "null"); } catch { return null; }
  }

  function say(name, { who = "", time = "", why = "" } = {}) {
    for (const words of box.querySelectorAll("[data-say]")) words.hidden = words.dataset.say !== name;
    box.hidden = !name;
    if (!name) return;
    const words = part(name);
    for (const [key, text] of Object.entries({ who, time, why })) {
      const place = words.querySelector(`[data-${key}]`);
      if (place) place.textContent = text;
    }
    keep.hidden = name !== "soon" && name !== "ended";
    again.hidden = !keep.hidden;
    box.classList.toggle("wrong", name !== "soon");
    box.classList.toggle("heed", name === "soon");
  }

  // Words that the server never had: kept by the report's script at every key, and forgotten when they were saved.
  // What went with a button arrived, if the button did what it says: then this page is not the refused form's.
  function showUnsaved() {
    const kept = left();
    if (!kept || kept.sent || !NAMES.some((name) => (kept[name] ?? "").trim())) return false;
    unsaved.querySelector("[data-words]").textContent = NAMES.map((name) => kept[name]).filter(Boolean).join("\n\n");
    unsaved.hidden = false;
    for (const button of unsaved.querySelectorAll("button")) button.hidden = false;
    return true;
  }

  function lost(now) {
    mine = false;
    if (now.taken_by) say("taken", { who: now.taken_by, time: clock(now.taken_at), why: now.taken_why });
    else if (!now.is_open) say("closed");
    else if (now.holder) say("gone", { who: now.holder });
    else say("free");
    box.querySelector("[data-safe]").hidden = !showUnsaved();
    for (const control of form?.elements ?? []) {
      if (control.matches("textarea, input:not([type=hidden])")) control.readOnly = true;
      else if (control.matches("button, select")) control.disabled = true;
    }
    box.scrollIntoView({ block: "nearest" });
  }

  async function ask() {
    clearTimeout(timer);
    timer = setTimeout(ask, ASK);
    if (!mine) return;
    let answer;
    try {
      answer = await fetch(address, { headers: { Accept: "application/json", "X-Huren-Poll": "1" } });
    } catch {
      return; // without the link nothing is known; the report's script says that it cannot save
    }
    if (!answer.ok) return;
    const now = await answer.json();
    askedAt = Date.now();
    ahead = Date.parse(now.now) - askedAt;
    endsAt = Date.parse(now.ends_at);
    if (!now.mine || !now.is_open) lost(now);
    else look();
  }

  function look() {
    if (!mine || !endsAt) return;
    const rest = endsAt - (Date.now() + ahead);
    if (rest > SOON) say("");
    else if (Date.now() - askedAt > FRESH) ask(); // what was written meanwhile has put the end off
    else if (rest > 0) say("soon", { time: clock(endsAt) });
    else say("ended");
  }

  keep.addEventListener("click", async () => {
    keep.disabled = true;
    try {
      await fetch(claim, { method: "POST", headers: { "X-CSRF-Token": csrf } });
    } catch { /* asked for below, and said there */ }
    keep.disabled = false;
    ask();
  });
  unsaved.querySelector("[data-copy]").addEventListener("click", async (event) => {
    const words = unsaved.querySelector("[data-words]");
    try {
      await navigator.clipboard.writeText(words.textContent);
    } catch { // not allowed without TLS: selected, the words can be copied with the keyboard
      getSelection().selectAllChildren(words);
      document.execCommand("copy");
    }
    event.target.textContent = event.target.dataset.done;
  });
  unsaved.querySelector("[data-throw-away]").addEventListener("click", () => {
    try { localStorage.removeItem(place); } catch { /* not allowed */ }
    unsaved.hidden = true;
  });

  if (mine) {
    ask();
    setInterval(look, LOOK);
    document.addEventListener("huren:news", (event) => { if (event.detail === "reading") ask(); });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  } else if (!form) {
    showUnsaved();
  }
}

if (box) start();
