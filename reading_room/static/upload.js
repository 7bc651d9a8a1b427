// Handing in files: thousands of them, over a link that breaks. What each became, the server says.
const form = document.querySelector("#upload");
const AT_ONCE = 3; // requests
const IN_BATCH = 50; // small files of one request
const LARGE = 2 << 20; // bytes; such a file goes by itself, in pieces
const SMALLEST_BATCH = 256 << 10, LARGEST_BATCH = 4 << 20; // bytes
const BATCH_SECONDS = 3; // that a batch should take
const LEFT_OUT_AT_ONCE = 200; // files named in one request that are not sent
const TROUBLES = 50; // shown while it runs; the receipt has all of them
const MARKED = 50; // large files whose beginnings are looked for among those that were broken off
const IMAGE = /\.(dcm|dicom|dic|ima)$/i;

document.querySelector("[data-print]")?.addEventListener("click", () => print());

async function start() {
  const { Link, fill, fingerprint, instanceUid, isReadable, told, toText } = await import(form.dataset.module);
  const words = form.dataset;
  const link = new Link(words, draw);
  const order = words.order;
  const counted = new Intl.NumberFormat(document.documentElement.lang);
  const part = (selector) => form.querySelector(selector);
  const megabytes = (bytes) => counted.format(Math.round(bytes / 1048576));

  const queue = []; // { file, name, number }
  const leftOut = []; // files that are not sent, waiting to be named
  const tally = { stored: 0, duplicate: 0, refused: 0, ignored: 0 };
  const begun = new Map(); // the address of what is there of a file, by its fingerprint
  const held = new Set(); // "name\nsize\nuid" of what an upload that is gone on with has brought already
  let next = 0, done = 0, unsent = 0, sentBytes = 0, allBytes = 0, speed = 0;
  let id = words.upload, running = false;
  const moments = []; // [time, bytes] of the last seconds, for the speed

  // --- which files -------------------------------------------------------------------------------------------

  const origin = () => form.elements.origin.value;
  const when = form.elements.examined_at; // asked where nothing else says when pictures were made
  function ready() {
    const answered = Boolean(origin()) && (!when || (when.value && when.checkValidity()));
    part("#first").hidden = answered;
    if (!answered) part(".origins").scrollIntoView({ block: "nearest" });
    return answered;
  }
  part("#pick-folder").onclick = () => ready() && part("#folder").click();
  part("#pick-files").onclick = () => ready() && part("#files").click();
  form.addEventListener("change", (event) => {
    if (["origin", "examined_at"].includes(event.target.name)) part("#first").hidden = true;
    if (event.target.type !== "file" || !event.target.files.length) return;
    look([...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
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
    look(found.length ? found : plain.map((file) => ({ file, name: file.name })));
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  part("#pick-folder").disabled = part("#pick-files").disabled = false;

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

  // What a disc says is on it is shown before anything is sent.
  async function look(found) {
    if (running) return;
    if (!found.length) { show(words.nothing); return; }
    const directory = found.find((one) => one.file && /(^|\/)DICOMDIR$/i.test(one.name));
    const panel = part(".contents");
    if (directory && directory.file.size <= 32 << 20) {
      const address = `/upload/contents${order ? `?order=${encodeURIComponent(order)}` : ""}`;
      const answer = await link.request("POST", address, { headers: { "Content-Type": "application/octet-stream" }, body: directory.file });
      if (answer?.status === 200 && answer.text) {
        panel.innerHTML = answer.text; // made by our own page, every word of the disc escaped
        panel.hidden = false;
        part(".choose").hidden = true;
        panel.querySelector("[data-send]").onclick = () => { panel.hidden = true; begin(found); };
        panel.querySelector("[data-back]").onclick = () => { panel.hidden = true; part(".choose").hidden = false; form.reset(); };
        panel.querySelector("[data-send]").focus();
        return;
      }
    }
    begin(found);
  }

  // --- sending -----------------------------------------------------------------------------------------------

  async function begin(found) {
    if (running) return;
    running = true;
    const byName = new Intl.Collator(undefined, { numeric: true });
    queue.push(...found.sort((one, other) => byName.compare(one.name, other.name)));
    queue.forEach((one, index) => { one.number = index + 1; });
    allBytes = queue.reduce((sum, one) => sum + (one.file?.size ?? 0), 0);
    part(".choose").hidden = true;
    part(".under-way").hidden = false;
    form.elements.note && (form.elements.note.disabled = true);
    const timer = setInterval(draw, 500);
    await findBegun();
    if (!id) {
      const wanted = { origin: origin(), note: form.elements.note?.value ?? "", files: queue.length };
      if (order) wanted.order_id = order;
      if (when) wanted.examined_at = new Date(when.value).toISOString();
      const answer = await link.say("/api/uploads", wanted);
      if (!answer) { clearInterval(timer); running = false; return; }
      id = answer.id;
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await nameLeftOut(true);
    clearInterval(timer);
    link.stopped = false; // the last words must arrive
    link.say_(words.ending);
    if (await link.say(`/api/uploads/${id}/finish`, { unsent: unsent + queue.length - next })) {
      running = false;
      location.href = `/upload/${id}`;
    }
  }

  // What an upload that was broken off has brought already: in this browser or another one.
  async function findBegun() {
    const open = (await link.say("/api/uploads/unfinished", undefined, "GET"))?.items ?? [];
    const large = queue.filter((one) => one.file && one.file.size > LARGE).slice(0, MARKED);
    for (const one of large) one.mark = await fingerprint(one.file).catch(() => "");
    if (!id) {
      const mine = (upload) => upload.origin === origin() && upload.order_id === order
        && upload.partial_files.some((known) => large.some((one) => one.mark === known.fingerprint));
      id = open.find(mine)?.id ?? "";
    }
    if (!id) return;
    for (const known of open.find((upload) => upload.id === id)?.partial_files ?? []) {
      begun.set(known.fingerprint, `/api/uploads/${id}/partial-files/${known.id}`);
    }
    for (const one of (await link.say(`/api/uploads/${id}/held`, undefined, "GET"))?.items ?? []) {
      if (one.sop_instance_uid) held.add(`${one.name}\n${one.size}\n${one.sop_instance_uid}`);
    }
  }

  async function work() {
    while (!link.stopped && next < queue.length) {
      if (link.paused) { await link.resumed(); continue; }
      const batch = [];
      let bytes = 0, large = null;
      const enough = Math.min(LARGEST_BATCH, Math.max(SMALLEST_BATCH, speed * BATCH_SECONDS / AT_ONCE));
      while (!large && next < queue.length && batch.length < IN_BATCH && bytes < enough) {
        const one = queue[next++];
        const why = await reasonNotToSend(one);
        if (why === "held") settle(one, "duplicate");
        else if (why) await leaveOut(one, why);
        else if (one.isArchive || one.file.size > LARGE) large = one;
        else { batch.push(one); bytes += one.file.size; }
      }
      if (batch.length) await handIn(batch);
      if (large) await handInLarge(large);
    }
  }

  function settle(one, outcome, message = "") {
    done++;
    sentBytes += one.file?.size ?? 0;
    tally[outcome === "conflict" ? "refused" : outcome]++;
    if (outcome === "refused" || outcome === "conflict") trouble(one.name, message);
  }
  function giveUp(one, message) {
    done++;
    unsent++;
    trouble(one.name, message || words.lost);
  }
  async function leaveOut(one, why) {
    leftOut.push({ name: one.name, size: one.file?.size ?? 0, why });
    done++;
    sentBytes += one.file?.size ?? 0;
    tally[why === "object_too_large" || why === "file_unreadable" ? "refused" : "ignored"]++;
    if (leftOut.length >= LEFT_OUT_AT_ONCE) await nameLeftOut();
  }

  async function handIn(batch) {
    let answer = null, before = 0, unreadable = true;
    while (batch.length && unreadable && !link.stopped) {
      unreadable = false;
      const all = batch.reduce((sum, one) => sum + one.file.size, 0);
      answer = await link.batch(id, () => batch, (loaded) => {
        sentBytes += Math.min(loaded, all) - before;
        before = Math.min(loaded, all);
      }, async (tries) => {
        sentBytes -= before;
        before = 0;
        if (tries < 1) return true;
        for (const one of [...batch]) { // a disc that was taken out looks like a link that broke
          if (await isReadable(one.file)) continue;
          unreadable = true;
          batch.splice(batch.indexOf(one), 1);
          await leaveOut(one, "file_unreadable");
        }
        return !unreadable;
      });
    }
    sentBytes -= before;
    if (!batch.length) return;
    const fates = answer?.status === 200 ? JSON.parse(answer.text).files : null;
    batch.forEach((one, index) => {
      if (!fates) { giveUp(one, answer && told(answer)); return; }
      const [first, ...further] = fates[index];
      settle(one, first.outcome, first.message);
      for (const fate of further) tally[fate.outcome === "conflict" ? "refused" : fate.outcome]++;
    });
  }

  async function handInLarge(one) {
    let before = 0;
    const mark = one.mark || (await fingerprint(one.file).catch(() => ""));
    const answer = await link.pieces(id, one, mark, begun.get(mark) ?? "", (at) => {
      sentBytes += at - before;
      before = at;
    }, one.isArchive ? (text) => unpacking(text, one) : null);
    sentBytes -= before;
    if (answer?.unreadable) return leaveOut(one, "file_unreadable");
    if (answer?.status === 413) return leaveOut(one, "object_too_large");
    if (answer?.status !== 200) return giveUp(one, answer && told(answer));
    if (one.isArchive) return endOfArchive(answer.text, one);
    const fate = JSON.parse(answer.text);
    settle(one, fate.outcome, fate.message);
  }

  async function reasonNotToSend(one) {
    if (!one.file) return "file_unreadable";
    if (/(^|\/)DICOMDIR$/i.test(one.name)) return "dicomdir";
    if (!one.file.size && !IMAGE.test(one.name)) return "file_empty";
    let head;
    try {
      head = new Uint8Array(await one.file.slice(0, 1024).arrayBuffer());
    } catch {
      return "file_unreadable";
    }
    one.isArchive = /\.zip$/i.test(one.name) && head[0] === 0x50 && head[1] === 0x4b;
    if (one.isArchive) return "";
    const isPart10 = String.fromCharCode(...head.slice(128, 132)) === "DICM";
    const isObject = isPart10 || ((head[0] === 8 || head[0] === 2) && head[1] === 0);
    if (!isObject && isPaper(head)) { if (!order) return "picture_without_order"; }
    else if (!isObject && !IMAGE.test(one.name)) return "no_dicom_file";
    if (isPart10 && held.has(`${toText(one.name)}\n${one.file.size}\n${instanceUid(head)}`)) return "held";
    return one.file.size > Number(words.largest) ? "object_too_large" : "";
  }
  // JPEG, PNG, TIFF, BMP, PDF.
  function isPaper(head) {
    const begins = (...bytes) => bytes.every((byte, at) => head[at] === byte);
    return begins(0xff, 0xd8, 0xff) || begins(0x89, 0x50, 0x4e, 0x47) || begins(0x49, 0x49, 0x2a, 0) || begins(0x4d, 0x4d, 0, 0x2a)
      || (begins(0x42, 0x4d) && !head[6] && !head[7] && !head[8] && !head[9]) || begins(0x25, 0x50, 0x44, 0x46, 0x2d);
  }

  function unpacking(text, one) {
    const lines = text.slice(0, text.lastIndexOf("\n") + 1).slice(-500).split("\n").filter(Boolean);
    let at = {};
    try { at = JSON.parse(lines[lines.length - 1] ?? "{}"); } catch { /* the beginning of the line is further back */ }
    if (at.of) link.say_(fill(words.unpacking, { name: one.name, done: counted.format(at.done), all: counted.format(at.of) }));
  }
  function endOfArchive(text, one) {
    link.say_("");
    const lines = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    const sums = lines.filter((line) => line.of).pop() ?? {};
    for (const outcome of ["stored", "duplicate", "conflict", "refused", "ignored"]) tally[outcome === "conflict" ? "refused" : outcome] += sums[outcome] ?? 0;
    const last = lines[lines.length - 1] ?? {};
    if (last.error || sums.done !== sums.of) giveUp(one, last.error?.message);
    else { done++; sentBytes += one.file.size; }
  }

  async function nameLeftOut(all = false) {
    while (leftOut.length && (all || leftOut.length >= LEFT_OUT_AT_ONCE)) {
      const files = leftOut.splice(0, LEFT_OUT_AT_ONCE).map((one) => ({ ...one, name: toText(one.name) }));
      await link.say(`/api/uploads/${id}/left-out`, { files });
    }
  }

  part("#pause").onclick = () => link.pause(!link.paused);
  part("#cancel").onclick = () => { if (confirm(words.sure)) link.stop(); };
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
    speed = span > 1 ? Math.max(0, sentBytes - moments[0][1]) / span : 0;
    part(".said").textContent = link.note || (link.paused ? words.paused : words.sending);
    part("#pause").textContent = link.paused ? words.continue : words.pause;
    part("progress").value = allBytes ? (sentBytes / allBytes) * 0.98 + (done / queue.length) * 0.02 : 0;
    part(".files").textContent = fill(words.files, { done: counted.format(done), all: counted.format(queue.length) });
    part(".bytes").textContent = fill(words.bytes, { done: megabytes(sentBytes), all: megabytes(allBytes) });
    part(".speed").textContent = speed ? fill(words.speed, { speed: (speed / 1048576).toFixed(1) }) : "";
    const seconds = speed ? (allBytes - sentBytes) / speed : 0;
    const time = seconds > 90 ? fill(words.minutes, { count: Math.round(seconds / 60) }) : fill(words.seconds, { count: Math.ceil(seconds) });
    part(".left").textContent = speed && sentBytes < allBytes && !link.paused ? fill(words.left, { time }) : "";
    for (const outcome of Object.keys(tally)) part(`.tallies .${outcome}`).textContent = counted.format(tally[outcome]);
  }
}

if (form) start();
