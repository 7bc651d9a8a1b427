// Images that are printed with the report: chosen in the previews or in OHIF, kept in the draft like its words.
// The form's field holds them as "uid:frame,uid:frame", frames from 1.
const list = document.querySelector("form.report .key-images");

// What OHIF shows in its active viewport, beside the report: "uid:frame", or nothing. It publishes its services.
function shownInViewer() {
  try {
    const { services } = document.querySelector(".imaging iframe").contentWindow;
    const { activeViewportId } = services.viewportGridService.getState();
    const address = services.cornerstoneViewportService.getCornerstoneViewport(activeViewportId).getCurrentImageId();
    const [, uid, frame] = /\/instances\/([0-9.]+)\/frames\/(\d+)/.exec(address);
    return `${uid}:${frame}`;
  } catch {
    return ""; // not loaded yet, or no image in the viewport
  }
}

function start() {
  const field = list.closest("form").elements.key_images;
  const most = Number(list.dataset.most);
  const ids = new Map(); // our id of each image by its UID
  for (const place of [document, ...[...document.querySelectorAll("template")].map((t) => t.content)]) {
    for (const button of place.querySelectorAll("button[data-frames]")) {
      for (const entry of button.dataset.frames.split(",")) {
        const [id, , uid] = entry.split(":");
        ids.set(uid, id);
      }
    }
  }
  const add = document.querySelector("[data-add-shown]");
  const says = document.querySelector("[data-add-says]");
  const take = document.querySelector("[data-take-proposed]"); // what the township proposes
  let shown = null; // what the previews show now

  const chosen = () => field.value.split(",").filter(Boolean);
  const key = () => (shown ? `${shown.uid}:${shown.frame + 1}` : "");

  function set(entries) {
    field.value = entries.join(",");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    draw();
  }
  function draw() {
    const now = chosen();
    list.replaceChildren(...now.map((entry, index) => {
      const [uid, frame] = entry.split(":");
      const item = document.createElement("li");
      const picture = document.createElement("img");
      picture.src = `/instances/${ids.get(uid)}/preview.png?frame=${Number(frame) - 1}&size=160`;
      picture.alt = `${list.dataset.image} ${index + 1}`;
      const off = document.createElement("button");
      off.type = "button";
      off.className = "btn btn-sm btn-outline-secondary";
      off.textContent = list.dataset.off;
      off.addEventListener("click", () => set(chosen().filter((other) => other !== entry)));
      item.append(picture, off);
      return item;
    }));
    add.disabled = now.length >= most;
    if (take) take.hidden = take.dataset.takeProposed === now.join(",");
    for (const button of document.querySelectorAll("[data-pick]")) {
      button.setAttribute("aria-pressed", String(now.includes(key())));
      button.disabled = !shown || (now.length >= most && !now.includes(key()));
    }
  }

  field.addEventListener("change", draw); // words of a colleague, or kept in this browser, were taken
  document.addEventListener("image-shown", (event) => { shown = event.detail; draw(); });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-pick]") || !shown) return;
    const now = chosen();
    set(now.includes(key()) ? now.filter((other) => other !== key()) : [...now, key()].slice(0, most));
  });
  add.addEventListener("click", () => {
    const now = chosen();
    const inViewer = document.querySelector(".imaging iframe");
    const entry = inViewer ? shownInViewer() : key();
    const known = ids.has(entry.split(":")[0]);
    says.textContent = known ? "" : add.dataset.notHere;
    if (known && !now.includes(entry)) set([...now, entry].slice(0, most));
  });
  take?.addEventListener("click", () => set(take.dataset.takeProposed.split(",").slice(0, most)));
  draw();
}

if (list) start();
