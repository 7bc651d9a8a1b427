// Writing a report: saved by itself two seconds after the last key, kept in this browser until the server has it.
// Somebody else's newer words are never overwritten: both texts are shown and a person chooses.
const form = document.querySelector("form.report[data-reading]");
const NAMES = ["findings", "impression", "critical"];
const KEPT = [...NAMES, "key_images", "measurements", "template_id", "values"]; // "uid:frame,uid:frame", frames from 1; JSON; id; JSON
const WAIT = 2000; // milliseconds of quiet before a save
const AGAIN = 8000; // after the link failed
const LONGEST = 20000; // until a server that does not answer counts as a link that failed
const MOST_TRIED = 5;

function start() {
  const csrf = document.querySelector('meta[name="csrf"]').content;
  const place = `huren-report-${form.dataset.user}-${form.dataset.reading}`; // one computer serves several readers
  const field = (name) => form.elements[name];
  const said = form.querySelector(".saved");
  const conflict = document.querySelector("#conflict");
  // A form that came back with a refusal holds words that nobody has yet, and so does one that was quickly written in.
  let saved = "unsaved" in form.dataset ? "" : JSON.stringify(words("defaultValue"));
  let timer = 0;
  let busy = null;
  let tried = []; // words that went and were not answered: they may have arrived
  let stopped = false;

  function words(property = "value") {
    return Object.fromEntries(KEPT.map((name) => [name, field(name)[property].replace(/\r\n/g, "\n")]));
  }
  function images(text) {
    return text.split(",").filter(Boolean).map((entry) => {
      const [uid, frame] = entry.split(":");
      return { sop_instance_uid: uid, frame: Number(frame) };
    });
  }
  function take(kept) {
    for (const name of KEPT) field(name).value = kept[name] ?? "";
    field("values").dispatchEvent(new Event("change"));
    field("key_images").dispatchEvent(new Event("change"));
    field("measurements").dispatchEvent(new Event("change"));
  }
  function say(text, wrong) {
    said.textContent = text;
    said.classList.toggle("wrong", Boolean(wrong));
  }
  function keep(sent = false) {
    const kept = { ...words(), revision: field("revision").value, sent, tried };
    try { localStorage.setItem(place, JSON.stringify(kept)); } catch { /* full, or not allowed */ }
  }
  function forget() {
    try { localStorage.removeItem(place); } catch { /* not allowed */ }
  }
  function later(wait) {
    clearTimeout(timer);
    timer = setTimeout(save, wait);
  }

  async function save() {
    clearTimeout(timer);
    if (stopped) return false;
    if (busy) { await busy; return save(); }
    const now = words();
    if (JSON.stringify(now) === saved) { forget(); return true; }
    busy = put(now);
    try { return await busy; } finally { busy = null; }
  }

  // Whether what the server holds are words of this page, whose answer was lost.
  function isOurs(theirs) {
    return tried.some((words) => [...NAMES, "key_images", "measurements"].every((name) => words[name] === (theirs[name] ?? "").replace(/\r\n/g, "\n")));
  }

  async function put(now) {
    say(form.dataset.saving);
    const ending = new AbortController();
    const patience = setTimeout(() => ending.abort(), LONGEST);
    let answer;
    try {
      answer = await fetch(`/api/readings/${form.dataset.reading}/report`, {
        method: "PUT",
        signal: ending.signal,
        headers: { "Content-Type": "application/json", "If-Match": `"${field("revision").value}"`, "X-CSRF-Token": csrf },
        body: JSON.stringify({ ...now, key_images: images(now.key_images), measurements: JSON.parse(now.measurements || "[]"), values: JSON.parse(now.values || "{}") }),
      });
    } catch {
      tried = [...tried, now].slice(-MOST_TRIED);
      keep();
      say(form.dataset.kept, true);
      later(AGAIN);
      return false;
    } finally {
      clearTimeout(patience);
    }
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) {
      field("revision").value = String(body.revision);
      tried = [];
      saved = JSON.stringify(now);
      if (JSON.stringify(words()) === saved) forget(); else later(WAIT);
      const at = new Intl.DateTimeFormat(document.documentElement.lang, { timeZone: form.dataset.zone, timeStyle: "medium" });
      say(`${form.dataset.saved} ${at.format(new Date())}`);
      return true;
    }
    if (answer.status >= 500) {
      say(form.dataset.kept, true);
      later(AGAIN);
      return false;
    }
    if (body.error?.code === "no_such_report_template") { // taken out of use meanwhile: the words stand without it
      field("template_id").value = "";
      later(0);
      return false;
    }
    say(body.error?.message ?? form.dataset.kept, true);
    if (answer.status === 409 && body.error?.code === "draft_is_newer") return await showBoth() && put(words());
    stopped = answer.status === 401 || answer.status === 403 || body.error?.code === "not_held_by_you";
    return false;
  }

  // True where there is nothing to choose.
  async function showBoth() {
    stopped = true;
    const answer = await fetch(`/reading/${form.dataset.reading}/draft`, { headers: { Accept: "application/json" } });
    if (!answer.ok) return false;
    const theirs = await answer.json();
    if (isOurs(theirs)) {
      field("revision").value = String(theirs.revision);
      tried = [];
      done();
      return true;
    }
    const mine = words();
    conflict.querySelector(".mine").textContent = NAMES.map((name) => mine[name]).filter(Boolean).join("\n\n");
    conflict.querySelector(".theirs").textContent = NAMES.map((name) => theirs[name]).filter(Boolean).join("\n\n");
    conflict.hidden = false;
    conflict.scrollIntoView({ block: "nearest" });
    conflict.querySelector("[data-keep=mine]").onclick = () => {
      field("revision").value = String(theirs.revision);
      done();
      save();
    };
    conflict.querySelector("[data-keep=theirs]").onclick = () => {
      take(theirs);
      field("revision").value = String(theirs.revision);
      saved = JSON.stringify(words());
      forget();
      done();
    };
    conflict.querySelector("[data-keep=both]").onclick = () => {
      for (const name of NAMES) {
        if (theirs[name] && theirs[name] !== mine[name]) field(name).value = [theirs[name], mine[name]].filter(Boolean).join("\n");
      }
      field("revision").value = String(theirs.revision);
      done();
      save();
    };
    return false;
  }
  function done() {
    stopped = false;
    conflict.hidden = true;
    say("");
  }

  // Words that a broken link or a closed window left in this browser come back. Words that went with a button arrived
  // if the revision has moved on since.
  let left = null;
  try { left = JSON.parse(localStorage.getItem(place) ?? "null"); } catch { forget(); }
  const arrived = left?.sent && left.revision !== field("revision").value;
  if (left && !arrived && KEPT.some((name) => (left[name] ?? "") !== words()[name])) {
    take(left);
    say(form.dataset.back, true);
    tried = left.tried ?? [];
    if (left.revision === field("revision").value) later(WAIT);
    else {
      field("revision").value = left.revision; // the server refuses them until a person has chosen
      showBoth().then((ours) => ours && later(0));
    }
  } else if (JSON.stringify(words()) === saved) forget();
  else later(WAIT);

  form.addEventListener("input", (event) => {
    if (!KEPT.includes(event.target.name)) return;
    keep();
    if (!stopped) later(WAIT);
  });
  document.addEventListener("keydown", async (event) => {
    if (!event.ctrlKey || event.altKey) return;
    if (event.key === "s") {
      event.preventDefault();
      save();
    }
    if (event.key === "Enter") {
      event.preventDefault();
      if (await save()) form.querySelector("[data-key=submit]")?.click();
    }
  });
  // A button that acts sends the words with it; what is under way must be known first, or it would seem to be newer.
  form.addEventListener("submit", async (event) => {
    clearTimeout(timer);
    if ((busy || tried.length) && !form.dataset.again) {
      event.preventDefault();
      event.stopPropagation();
      delete form.dataset.sent;
      await (busy ?? save());
      form.dataset.again = "1";
      form.requestSubmit(event.submitter);
      return;
    }
    stopped = true;
    keep(true);
  });
  addEventListener("beforeunload", (event) => {
    if (!stopped && JSON.stringify(words()) !== saved) { keep(); event.preventDefault(); event.returnValue = ""; }
  });
}

if (form) start();
