// Handing in files: thousands of them, three at a time, over a link that breaks. What each became, the server says.
const form = document.querySelector("#upload");
const AT_ONCE = 3;
const PATIENCE = [1, 2, 4, 8, 15]; // seconds between tries while the link is broken
const LEFT_OUT_AT_ONCE = 200; // files named in one request that are not sent
const TROUBLES = 50; // shown while it runs; the receipt has all of them
const IMAGE = /\.(dcm|dicom|dic|ima)$/i;

document.querySelector("[data-print]")?.addEventListener("click", () => print());

function start() {
  const words = form.dataset;
  const csrf = { value: document.querySelector('meta[name="csrf"]').content };
  const counted = new Intl.NumberFormat(document.documentElement.lang);
  const part = (selector) => form.querySelector(selector);
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_all, name) => values[name]);
  const megabytes = (bytes) => counted.format(Math.round(bytes / 1048576));

  const queue = []; // { file, name }
  const active = new Set(); // requests under way
  const leftOut = []; // files that are not sent, waiting to be named
  const tally = { stored: 0, duplicate: 0, refused: 0, ignored: 0 };
  let next = 0, done = 0, unsent = 0, sentBytes = 0, allBytes = 0;
  let id = words.upload, running = false, paused = false, stopped = false, wake = null, note = "";
  const moments = []; // [time, bytes] of the last seconds, for the speed

  // --- which files -------------------------------------------------------------------------------------------

  const origin = () => form.elements.origin.value;
  function ready() {
    part("#first").hidden = Boolean(origin());
    if (!origin()) part(".origins").scrollIntoView({ block: "nearest" });
    return Boolean(origin());
  }
  part("#pick-folder").onclick = () => ready() && part("#folder").click();
  part("#pick-files").onclick = () => ready() && part("#files").click();
  form.addEventListener("change", (event) => {
    if (event.target.name === "origin") part("#first").hidden = true;
    if (event.target.type !== "file" || !event.target.files.length) return;
    begin([...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
  });
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  part("#drop").addEventListener("dragover", () => part("#drop").classList.add("over"));
  for (const kind of ["dragleave", "drop"]) part("#drop").addEventListener(kind, () => part("#drop").classList.remove("over"));
  part("#drop").addEventListener("drop", async (event) => {
    // Asked for now: after the first wait the browser has forgotten what was dropped.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const plain = [...event.dataTransfer.files];
    if (running || !ready()) return;
    const found = [];
    for (const entry of entries) await walk(entry, found);
    begin(found.length ? found : plain.map((file) => ({ file, name: file.name })));
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  async function walk(entry, found) {
    if (entry.isFile) {
      try {
        const file = await new Promise((good, bad) => entry.file(good, bad));
        found.push({ file, name: entry.fullPath.replace(/^\//, "") });
      } catch {
        found.push({ file: null, name: entry.fullPath });
      }
      if (found.length % 100 === 0) show(fill(words.counting, { count: counted.format(found.length) }));
      return;
    }
    const reader = entry.createReader();
    for (;;) { // a folder answers with at most a hundred at a time
      const some = await new Promise((good) => reader.readEntries(good, () => good([])));
      if (!some.length) return;
      for (const one of some) await walk(one, found);
    }
  }

  // --- sending -----------------------------------------------------------------------------------------------

  async function begin(found) {
    if (running) return;
    if (!found.length) { show(words.nothing); return; }
    running = true;
    queue.push(...found);
    allBytes = queue.reduce((sum, one) => sum + (one.file?.size ?? 0), 0);
    part(".choose").hidden = true;
    part(".under-way").hidden = false;
    form.elements.note && (form.elements.note.disabled = true);
    if (!id) {
      const answer = await say("/api/uploads", { origin: origin(), note: form.elements.note?.value ?? "", files: queue.length });
      if (!answer) return;
      id = answer.id;
    }
    const timer = setInterval(draw, 500);
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await nameLeftOut(true);
    clearInterval(timer);
    note = words.ending;
    draw();
    if (await say(`/api/uploads/${id}/finish`, { unsent: unsent + queue.length - next })) {
      running = false;
      location.href = `/upload/${id}`;
    }
  }

  async function work() {
    while (!stopped && next < queue.length) {
      if (paused) { await resumed(); continue; }
      const one = queue[next++];
      try {
        await handIn(one);
      } catch {
        unsent++;
        trouble(one.name, words.lost);
      }
      done++;
    }
  }

  async function handIn(one) {
    const why = await reasonNotToSend(one);
    if (why) {
      leftOut.push({ name: one.name, size: one.file?.size ?? 0, why });
      const lost = why === "object_too_large" || why === "file_unreadable";
      tally[lost ? "refused" : "ignored"]++;
      sentBytes += one.file?.size ?? 0;
      if (leftOut.length >= LEFT_OUT_AT_ONCE) await nameLeftOut();
      return;
    }
    const archive = one.isArchive;
    let before = 0;
    for (let tries = 0; ; tries++) {
      const answer = await post(`/api/uploads/${id}/${archive ? "archives" : "files"}`, one, (loaded) => {
        sentBytes += loaded - before;
        before = loaded;
      });
      if (stopped && !answer) { unsent++; return; }
      if (answer?.status === 200) {
        sentBytes += one.file.size - before;
        if (archive) return endOfArchive(answer.text, one);
        const fate = JSON.parse(answer.text);
        count(fate.outcome);
        if (fate.outcome === "refused" || fate.outcome === "conflict") trouble(one.name, fate.message);
        return;
      }
      sentBytes -= before;
      before = 0;
      if (answer && ![0, 401, 403, 408, 429, 500, 502, 503, 504].includes(answer.status)) {
        unsent++;
        trouble(one.name, told(answer.text) || words.lost);
        return;
      }
      if (answer?.status === 401 || answer?.status === 403) await signedOut(answer);
      else if (tries >= 1 && !(await isReadable(one.file))) {
        leftOut.push({ name: one.name, size: one.file.size, why: "file_unreadable" });
        tally.refused++;
        return;
      } else await patience(tries, told(answer?.text ?? ""));
    }
  }

  async function reasonNotToSend(one) {
    if (!one.file) return "file_unreadable";
    if (/(^|\/)DICOMDIR$/i.test(one.name)) return "dicomdir";
    if (!one.file.size && !IMAGE.test(one.name)) return "file_empty";
    let head;
    try {
      head = new Uint8Array(await one.file.slice(0, 132).arrayBuffer());
    } catch {
      return "file_unreadable";
    }
    one.isArchive = /\.zip$/i.test(one.name) && head[0] === 0x50 && head[1] === 0x4b;
    if (one.isArchive) return "";
    const isObject = String.fromCharCode(...head.slice(128, 132)) === "DICM" || ((head[0] === 8 || head[0] === 2) && head[1] === 0);
    if (!isObject && !IMAGE.test(one.name)) return "no_dicom_file";
    return one.file.size > Number(words.largest) ? "object_too_large" : "";
  }

  async function isReadable(file) {
    try {
      for (let at = 0; at < file.size; at += 8 << 20) await file.slice(at, at + (8 << 20)).arrayBuffer();
      return true;
    } catch {
      return false;
    }
  }

  function post(address, one, progress) {
    return new Promise((answered) => {
      const request = new XMLHttpRequest();
      request.open("POST", address);
      request.setRequestHeader("X-CSRF-Token", csrf.value);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.setRequestHeader("X-File-Name", encodeURIComponent(toText(one.name)));
      request.upload.onprogress = (event) => progress(event.loaded);
      request.onprogress = () => one.isArchive && request.status === 200 && unpacking(request.responseText, one);
      request.onload = () => finished({ status: request.status, text: request.responseText });
      request.onerror = request.onabort = () => finished(null);
      const finished = (answer) => { active.delete(request); answered(answer); };
      active.add(request);
      request.send(one.file);
    });
  }
  // A name may hold half a character, which no address can carry.
  const toText = (name) => name.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd").slice(-400);

  function lastLine(text) {
    const lines = text.split("\n").filter(Boolean);
    try { return JSON.parse(lines[lines.length - 1] ?? "{}"); } catch { return {}; }
  }
  function unpacking(text, one) {
    const at = lastLine(text.slice(0, text.lastIndexOf("\n") + 1).slice(-500));
    if (at.of) note = fill(words.unpacking, { name: one.name, done: counted.format(at.done), all: counted.format(at.of) });
  }
  function endOfArchive(text, one) {
    note = "";
    const lines = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    const sums = lines.filter((line) => line.of).pop() ?? {};
    for (const outcome of ["stored", "duplicate", "conflict", "refused", "ignored"]) count(outcome, sums[outcome] ?? 0);
    const last = lines[lines.length - 1] ?? {};
    if (last.error || sums.done !== sums.of) { unsent++; trouble(one.name, last.error?.message ?? words.lost); }
  }
  function count(outcome, by = 1) {
    tally[outcome === "conflict" ? "refused" : outcome] += by;
  }

  async function nameLeftOut(all = false) {
    while (leftOut.length && (all || leftOut.length >= LEFT_OUT_AT_ONCE)) {
      const files = leftOut.splice(0, LEFT_OUT_AT_ONCE).map((one) => ({ ...one, name: toText(one.name) }));
      await say(`/api/uploads/${id}/left-out`, { files });
    }
  }

  // A small request that must arrive.
  async function say(address, body) {
    for (let tries = 0; ; tries++) {
      let answer = null;
      try {
        const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrf.value };
        answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(body) });
      } catch { /* the link is broken */ }
      if (answer?.status === 204) return {};
      if (answer?.ok) return answer.json();
      const text = answer ? await answer.text() : "";
      if (answer?.status === 401 || (answer?.status === 403 && code(text) === "csrf_wrong")) { await signedOut({ status: answer.status, text }); continue; }
      if (answer && answer.status < 500) { note = told(text) || words.lost; draw(); return null; }
      await patience(tries, told(text));
    }
  }
  const told = (text) => { try { return JSON.parse(text).error?.message ?? ""; } catch { return ""; } };
  const code = (text) => { try { return JSON.parse(text).error?.code ?? ""; } catch { return ""; } };

  // --- waiting -----------------------------------------------------------------------------------------------

  async function patience(tries, message) {
    for (let left = PATIENCE[Math.min(tries, PATIENCE.length - 1)]; left > 0 && !stopped; left--) {
      note = `${fill(words.waiting, { seconds: left })} ${message}`;
      draw();
      await new Promise((good) => setTimeout(good, 1000));
    }
    note = "";
  }
  async function signedOut(answer) {
    // Somebody else at this computer may have signed in since: the page's value is asked for anew.
    const me = await fetch("/api/me").then((one) => (one.ok ? one.json() : null)).catch(() => null);
    if (me && me.csrf !== csrf.value) { csrf.value = me.csrf; return; }
    note = answer.status === 401 ? words.signedout : told(answer.text);
    pause(true);
    await resumed();
  }
  function resumed() {
    if (!paused) return Promise.resolve();
    wake ??= (() => { let go; const promise = new Promise((good) => { go = good; }); return { promise, go }; })();
    return wake.promise;
  }
  function pause(on) {
    paused = on;
    part("#pause").textContent = on ? words.continue : words.pause;
    if (!on) { note = ""; wake?.go(); wake = null; }
    draw();
  }
  part("#pause").onclick = () => pause(!paused);
  part("#cancel").onclick = () => {
    if (!confirm(words.sure)) return;
    stopped = true;
    pause(false);
    for (const request of active) request.abort();
  };
  addEventListener("beforeunload", (event) => { if (running) { event.preventDefault(); event.returnValue = ""; } });

  // --- showing -----------------------------------------------------------------------------------------------

  function show(text) { part("#first").hidden = false; part("#first").textContent = text; }
  function trouble(name, why) {
    const list = part(".troubles");
    if (list.children.length >= TROUBLES) return;
    const line = document.createElement("li");
    const file = document.createElement("span");
    file.className = "mono break";
    file.textContent = name;
    line.append(file, " ", why);
    list.append(line);
  }
  function draw() {
    const now = performance.now();
    moments.push([now, sentBytes]);
    while (moments.length > 2 && now - moments[0][0] > 15000) moments.shift();
    const span = (now - moments[0][0]) / 1000;
    const speed = span > 1 ? Math.max(0, sentBytes - moments[0][1]) / span : 0;
    part(".said").textContent = note || (paused ? words.paused : words.sending);
    part("progress").value = allBytes ? (sentBytes / allBytes) * 0.98 + (done / queue.length) * 0.02 : 0;
    part(".files").textContent = fill(words.files, { done: counted.format(done), all: counted.format(queue.length) });
    part(".bytes").textContent = fill(words.bytes, { done: megabytes(sentBytes), all: megabytes(allBytes) });
    part(".speed").textContent = speed ? fill(words.speed, { speed: (speed / 1048576).toFixed(1) }) : "";
    const seconds = speed ? (allBytes - sentBytes) / speed : 0;
    const time = seconds > 90 ? fill(words.minutes, { count: Math.round(seconds / 60) }) : fill(words.seconds, { count: Math.ceil(seconds) });
    part(".left").textContent = speed && sentBytes < allBytes && !paused ? fill(words.left, { time }) : "";
    for (const outcome of Object.keys(tally)) part(`.tallies .${outcome}`).textContent = counted.format(tally[outcome]);
  }
}

if (form) start();
