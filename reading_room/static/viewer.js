// Looking through rendered previews: series on the left, wheel and arrow keys step, a click enlarges.
function framesOf(button) {
  // "id:frames,id:frames": one entry for each object of the series, with ":uid" behind it where images are chosen.
  return button.dataset.frames.split(",").flatMap((entry) => {
    const [id, count, uid] = entry.split(":");
    return Array.from({ length: Number(count) }, (_unused, frame) => ({ id, frame, uid }));
  });
}

function address({ id, frame }) {
  return `/instances/${id}/preview.png?frame=${frame}&size=1024`;
}

export function start(viewer) {
  if (!viewer.querySelector(".series button")) return;
  const picture = viewer.querySelector(".picture img");
  const none = viewer.querySelector(".picture .none");
  const corner = viewer.querySelector(".corner");
  const slider = viewer.querySelector("input[type=range]");
  const where = viewer.querySelector(".where");
  const buttons = [...viewer.querySelectorAll(".series button")];
  let frames = [];
  let at = 0;

  function show(index) {
    at = Math.max(0, Math.min(frames.length - 1, index));
    slider.value = String(at + 1);
    where.textContent = `${at + 1} / ${frames.length}`;
    none.hidden = true;
    picture.hidden = false;
    picture.src = address(frames[at]);
    for (const near of [at + 1, at - 1, at + 2]) {
      if (frames[near]) new Image().src = address(frames[near]);
    }
    viewer.dispatchEvent(new CustomEvent("image-shown", { bubbles: true, detail: frames[at] }));
  }
  function choose(button) {
    for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    frames = framesOf(button);
    slider.max = String(frames.length);
    corner.textContent = button.dataset.title;
    show(Math.floor((frames.length - 1) / 2));
  }

  picture.addEventListener("error", () => { picture.hidden = true; none.hidden = false; });
  for (const button of buttons) button.addEventListener("click", () => choose(button));
  slider.addEventListener("input", () => show(Number(slider.value) - 1));
  viewer.querySelector("[data-step='-1']").addEventListener("click", () => show(at - 1));
  viewer.querySelector("[data-step='1']").addEventListener("click", () => show(at + 1));
  let rolled = 0;
  viewer.querySelector(".picture").addEventListener("wheel", (event) => {
    event.preventDefault();
    rolled += event.deltaY;
    if (Math.abs(rolled) < 30) return;
    show(at + Math.sign(rolled));
    rolled = 0;
  }, { passive: false });
  viewer.querySelector(".picture").addEventListener("click", () => viewer.classList.toggle("large"));
  document.addEventListener("keydown", (event) => {
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target !== slider) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step && frames.length) { event.preventDefault(); show(at + step); }
    if (event.key === "Escape") viewer.classList.remove("large");
  });
  choose(buttons[0]);
}
