// The images of a page: OHIF in a frame where the browser can run it, else the rendered previews. What a person chose
// is remembered in this browser. Neither is fetched before it is shown, and the report's form never waits for them.
//
// A window on the second monitor follows the case whose page is in front: both talk over a channel of this browser.
// The window answers "here" while it is open; when it has been closed, the images come back into the page.
import { AROUND, WINDOW, channel } from "./second-screen.js";

const KEPT = "huren-images";
const OLDEST_CHROME = 110;

function canRunViewer() {
  const chrome = /Chrom(?:e|ium)\/(\d+)/.exec(navigator.userAgent);
  if (chrome && Number(chrome[1]) < OLDEST_CHROME) return false;
  if (!window.Worker || !window.WebAssembly) return false;
  return Boolean(document.createElement("canvas").getContext("webgl2"));
}

function remembered() {
  try { return localStorage.getItem(KEPT); } catch { return null; } // storage may be switched off
}
function remember(what) {
  try { localStorage.setItem(KEPT, what); } catch { /* then it is asked again */ }
}

async function start(section) {
  const place = section.querySelector(".place");
  const able = canRunViewer();
  const page = section.closest(".case");
  const screen = section.dataset.case ? channel() : null;
  let heardAt = 0; // when the window last said that it is there
  let missed = 0;

  async function show(what) {
    section.dataset.shown = what;
    for (const button of section.querySelectorAll("button[data-show]")) {
      button.hidden = button.dataset.show === what || (button.dataset.show === "viewer" && !able);
    }
    // The images are in a window of their own: the report gets the room.
    if (page) page.classList.toggle("away", what === "window");
    // "Compare" opens where the images are.
    for (const link of document.querySelectorAll(`a[target=huren-images], a[target=${WINDOW}]:not([data-show])`)) {
      link.target = what === "window" ? WINDOW : "huren-images";
    }
    if (what === "viewer") {
      const frame = document.createElement("iframe");
      frame.name = "huren-images"; // links with this target ("Compare") open in it
      frame.title = section.getAttribute("aria-label");
      frame.src = section.dataset.viewer;
      place.replaceChildren(frame);
    } else if (what === "previews") {
      place.replaceChildren(section.querySelector("template").content.cloneNode(true));
      // Left before it came, or the line is cut: the pictures stand there all the same, without their buttons.
      const viewer = await import(section.dataset.previews).catch(() => null);
      viewer?.start(place.querySelector(".viewer"));
    } else {
      place.replaceChildren();
    }
  }

  section.querySelector(".why")?.toggleAttribute("hidden", able || !section.dataset.viewer);
  for (const button of section.querySelectorAll("button[data-show]")) {
    button.addEventListener("click", () => { remember(button.dataset.show); show(button.dataset.show); });
  }
  section.querySelector("[data-show=window]")?.addEventListener("click", () => {
    if (!page) return;
    heardAt = Date.now() + AROUND; // it needs a while to load
    show("window");
  });

  function follow() {
    screen?.postMessage({ say: "case", case: section.dataset.case, viewer: section.dataset.viewer });
  }
  screen?.addEventListener("message", ({ data }) => {
    if (data.say !== "here") return;
    heardAt = Math.max(heardAt, Date.now());
    missed = 0;
    if (section.dataset.shown !== "window") show("window");
    if (data.case !== section.dataset.case && document.hasFocus()) follow(); // two pages must not pull it to and fro
  });
  if (screen) {
    window.addEventListener("focus", follow);
    window.addEventListener("pagehide", () => screen.postMessage({ say: "gone", case: section.dataset.case }));
    setInterval(() => {
      if (section.dataset.shown !== "window") return;
      missed = Date.now() - heardAt > AROUND ? missed + 1 : 0;
      screen.postMessage({ say: "who" });
      if (missed > 1) show(able ? "viewer" : "previews"); // the window was closed
    }, AROUND);
    follow();
    await new Promise((resolve) => setTimeout(resolve, 150)); // a window that is there says so at once
    if (heardAt) return;
  }
  await show(section.dataset.viewer && able && remembered() !== "previews" ? "viewer" : "previews");
}

// After everything else of the page: the form is read and can be typed into before the viewer begins to load.
const sections = [...document.querySelectorAll(".imaging")];
const begin = () => sections.forEach(start);
if (document.readyState === "complete") begin();
else window.addEventListener("load", begin, { once: true });
