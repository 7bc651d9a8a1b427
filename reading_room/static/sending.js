// The link of an upload, which breaks: small files go many to a request, large ones in pieces (tus 1.0), and every
// request is made again until the server has answered it. Nothing here knows the page but through `words` and `changed`.
const PATIENCE = [1, 2, 4, 8, 15]; // seconds between tries while the link is broken
const PIECE = 8 << 20; // bytes; of a piece that is cut off, what came counts
const TUS = { "Tus-Resumable": "1.0.0" };
const MARKED = 65536; // bytes at either end of a file that its fingerprint looks at
const PASSING = [0, 401, 403, 408, 409, 423, 429, 500, 502, 503, 504, 507];

export class Link {
  constructor(words, changed) {
    this.words = words;
    this.changed = changed;
    this.csrf = document.querySelector('meta[name="csrf"]').content;
    this.paused = this.stopped = false;
    this.note = "";
    this.active = new Set(); // requests under way; those of pieces may be broken off at any time
    this.wake = null;
  }

  // One request: its answer, or null where the link broke or somebody broke it off.
  request(method, address, { headers = {}, body = null, progress = null, partly = null, inPieces = false } = {}) {
    return new Promise((answered) => {
      const request = new XMLHttpRequest();
      const finished = (answer) => { this.active.delete(request); answered(answer); };
      request.inPieces = inPieces;
      request.open(method, address);
      request.setRequestHeader("X-CSRF-Token", this.csrf);
      for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      if (progress) request.upload.onprogress = (event) => progress(event.loaded);
      if (partly) request.onprogress = () => request.status === 200 && partly(request.responseText);
      request.onload = () => finished({ status: request.status, text: request.responseText, header: (name) => request.getResponseHeader(name) });
      request.onerror = request.onabort = () => finished(null);
      this.active.add(request);
      request.send(body);
    });
  }

  // A request that must arrive: made again until there is an answer that is final; null when the person stopped.
  async must(method, address, options = {}) {
    for (let tries = 0; !this.stopped; tries++) {
      await this.resumed();
      const answer = await this.request(method, address, options);
      if (answer && !PASSING.includes(answer.status)) return answer;
      if (answer && (answer.status === 409 || (answer.status === 403 && code(answer) !== "csrf_wrong"))) return answer;
      if (options.again && !(await options.again(tries))) return null;
      await this.afterwards(answer, tries);
    }
    return null;
  }

  // A small request with JSON, both ways; null where it was refused, which `note` says.
  async say(address, body, method = "POST") {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    const answer = await this.must(method, address, { headers, body: body === undefined ? null : JSON.stringify(body) });
    if (answer && answer.status < 300) return answer.text ? JSON.parse(answer.text) : {};
    if (answer) this.say_(told(answer) || this.words.lost);
    return null;
  }

  // Several small files in one body; the answer's fates stand in their order.
  batch(uploadId, files, progress, again) {
    const boundary = `huren-${Math.random().toString(36).slice(2)}${Date.now()}`;
    const parts = [];
    for (const one of files()) {
      parts.push(`--${boundary}\r\nX-File-Name: ${encodeURIComponent(toText(one.name))}\r\nX-File-Number: ${one.number}\r\n\r\n`, one.file, "\r\n");
    }
    parts.push(`--${boundary}--\r\n`);
    const headers = { "Content-Type": `multipart/related; boundary=${boundary}` };
    return this.must("POST", `/api/uploads/${uploadId}/batches`, { headers, body: new Blob(parts), progress, again });
  }

  // A large file, from where it stands: `known` is the address of what is there of it, if anything is. Answers what
  // became of it as `must` does.
  async pieces(uploadId, one, mark, known, progress, unpacking) {
    let address = known, at = 0, isKnown = false;
    for (let tries = 0; !this.stopped; ) {
      await this.resumed();
      let answer;
      if (!address) {
        const said = { filename: toText(one.name), fingerprint: mark };
        const metadata = Object.entries(said).map(([name, text]) => `${name} ${base64(text)}`).join(",");
        answer = await this.must("POST", `/api/uploads/${uploadId}/partial-files`, { headers: { ...TUS, "Upload-Length": String(one.file.size), "Upload-Metadata": metadata } });
        if (answer?.status !== 201) return answer;
        [address, at, isKnown] = [new URL(answer.header("Location"), location.href).pathname, 0, true];
      }
      if (!isKnown) {
        answer = await this.must("HEAD", address, { headers: TUS });
        if (!answer) return null;
        if (answer.status === 404 || answer.status === 410) { address = ""; continue; }
        if (answer.status !== 200) return answer;
        [at, isKnown] = [Number(answer.header("Upload-Offset")), true];
      }
      progress(at);
      if (at >= one.file.size) {
        answer = await this.must("POST", `${address}/take?number=${one.number}`, { partly: unpacking });
        if (answer?.status !== 404) return answer;
        [address, isKnown] = ["", false];
        continue;
      }
      const from = at;
      answer = await this.request("PATCH", address, {
        headers: { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(from) },
        body: one.file.slice(from, from + PIECE),
        progress: (loaded) => progress(from + loaded),
        inPieces: true,
      });
      if (answer?.status === 204) {
        [at, tries] = [Number(answer.header("Upload-Offset")), 0];
        continue;
      }
      isKnown = false; // the server says how far it came
      if (answer?.status === 404) address = "";
      else if (answer && !PASSING.includes(answer.status)) return answer;
      else if (!answer && this.paused) continue; // broken off by the person
      else if (tries >= 1 && !(await isReadable(one.file))) return { status: 0, text: "", unreadable: true };
      else if (answer?.status !== 409 || tries) await this.afterwards(answer, tries);
      tries++;
    }
    return null;
  }

  // --- waiting ----------------------------------------------------------------------------------------------

  async afterwards(answer, tries) {
    if (answer?.status === 401 || answer?.status === 403) await this.signedOut(answer);
    else await this.patience(tries, answer ? told(answer) : "");
  }
  async patience(tries, message) {
    for (let left = PATIENCE[Math.min(tries, PATIENCE.length - 1)]; left > 0 && !this.stopped; left--) {
      this.say_(`${fill(this.words.waiting, { seconds: left })} ${message}`);
      await new Promise((good) => setTimeout(good, 1000));
    }
    this.say_("");
  }
  async signedOut(answer) {
    // Somebody else at this computer may have signed in since: the page's value is asked for anew.
    const me = await fetch("/api/me").then((one) => (one.ok ? one.json() : null)).catch(() => null);
    if (me && me.csrf !== this.csrf) { this.csrf = me.csrf; return; }
    this.pause(true);
    this.say_(answer.status === 401 ? this.words.signedout : told(answer));
    await this.resumed();
  }
  resumed() {
    if (!this.paused) return Promise.resolve();
    this.wake ??= (() => { let go; const promise = new Promise((good) => { go = good; }); return { promise, go }; })();
    return this.wake.promise;
  }
  pause(on) {
    this.paused = on;
    if (on) this.breakOff((request) => request.inPieces);
    else { this.note = ""; this.wake?.go(); this.wake = null; }
    this.changed();
  }
  stop() {
    this.stopped = true;
    this.pause(false);
    this.breakOff(() => true);
  }
  breakOff(which) { for (const request of [...this.active]) if (which(request)) request.abort(); }
  say_(note) { this.note = note; this.changed(); }
}

// What a browser that is opened again knows a file by: its name, size and time, and both ends of its content.
export async function fingerprint(file) {
  let hash = 0x811c9dc5; // FNV-1a
  for (const at of [0, Math.max(0, file.size - MARKED)]) {
    for (const byte of new Uint8Array(await file.slice(at, at + MARKED).arrayBuffer())) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return `${file.size} ${file.lastModified} ${hash.toString(16)} ${toText(file.name).slice(-100)}`;
}

export async function isReadable(file) {
  try {
    for (let at = 0; at < file.size; at += PIECE) await file.slice(at, at + PIECE).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

// The SOP Instance UID that a file's header names (PS3.10 7.1), or nothing.
export function instanceUid(head) {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  for (let at = 132; at + 8 <= head.length && view.getUint16(at, true) === 2; ) {
    const element = view.getUint16(at + 2, true);
    const isLong = head[at + 4] === 0x4f && head[at + 5] === 0x42; // OB
    if (isLong && at + 12 > head.length) return "";
    const length = isLong ? view.getUint32(at + 8, true) : view.getUint16(at + 6, true);
    at += isLong ? 12 : 8;
    if (element === 3) return String.fromCharCode(...head.slice(at, at + Math.min(length, 64))).replace(/[\0 ]+$/, "");
    at += length;
  }
  return "";
}

export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_all, name) => values[name]);
export const told = (answer) => { try { return JSON.parse(answer.text).error?.message ?? ""; } catch { return ""; } };
const code = (answer) => { try { return JSON.parse(answer.text).error?.code ?? ""; } catch { return ""; } };
// A name may hold half a character, which no address can carry.
export const toText = (name) => name.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd").slice(-400);
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
