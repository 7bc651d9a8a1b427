// The images of a page: OHIF in a frame where the browser can run it, else the rendered previews. What a person chose
// is remembered in this browser. Neither is fetched before it is shown, and the report's form never waits for them.
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

  async function show(what) {
    section.dataset.shown = what;
    for (const button of section.querySelectorAll("button[data-show]")) {
      button.hidden = button.dataset.show === what || (button.dataset.show === "viewer" && !able);
    }
    // The images are in a window of their own: the report gets the room.
    if (page) page.classList.toggle("away", what === "window");
    if (what === "viewer") {
      const frame = document.createElement("iframe");
      frame.name = "huren-images"; // links with this target ("Compare") open in it
      frame.title = section.getAttribute("aria-label");
      frame.src = section.dataset.viewer;
      place.replaceChildren(frame);
    } else if (what === "previews") {
      place.replaceChildren(section.querySelector("template").content.cloneNode(true));
      (await import(section.dataset.previews)).start(place.querySelector(".viewer"));
    } else {
      place.replaceChildren();
    }
  }

  section.querySelector(".why")?.toggleAttribute("hidden", able || !section.dataset.viewer);
  for (const button of section.querySelectorAll("button[data-show]")) {
    button.addEventListener("click", () => { remember(button.dataset.show); show(button.dataset.show); });
  }
  section.querySelector("[data-show=window]")?.addEventListener("click", () => { if (page) show("window"); });
  await show(section.dataset.viewer && able && remembered() !== "previews" ? "viewer" : "previews");
}

// After everything else of the page: the form is read and can be typed into before the viewer begins to load.
const sections = [...document.querySelectorAll(".imaging")];
const begin = () => sections.forEach(start);
if (document.readyState === "complete") begin();
else window.addEventListener("load", begin, { once: true });
