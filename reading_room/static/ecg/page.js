// The ECG's place on the case page: what is chosen, the keys, and what the page says of it.
import { load, secondsOf } from "./data.js";
import { Facts } from "./facts.js";
import { isOn } from "./filters.js";
import { WINDOW } from "./plan.js";
import { GAINS, SPEEDS, isCalibrated } from "./scale.js";
import { Sheet } from "./sheet.js";
import { calibrating } from "./size.js";

const BESIDE = 300; // CSS pixels that the column beside the paper takes
const KEPT = "huren-ecg-layout"; // speed and gain begin as everywhere: 25 mm/s, 10 mm/mV

function start(section) {
  const words = JSON.parse(section.dataset.words);
  const own = JSON.parse(section.dataset.own);
  const earlier = JSON.parse(section.dataset.earlier);
  const find = (selector) => section.querySelector(selector);
  const place = find(".ecg-paper");
  const page = section.closest(".case");
  const choice = (name) => find(`[data-wish=${name}]`);
  const facts = new Facts(document, words);
  let shown = own[0];
  let asked = 0; // which of several that are loading is wanted

  const foot = (sheet) => {
    const { speed, gain } = sheet.wish;
    const { filters } = sheet.now;
    const band = [filters.high_pass, filters.low_pass].map((hertz) => hertz ?? "?").join("–");
    const device = filters.high_pass === null && filters.low_pass === null ? "" : `${words.device_filter} ${band} Hz`;
    return [`${speed} mm/s`, `${gain} mm/mV`, device, filterWords(sheet.chosen), isCalibrated() ? "" : words.not_calibrated].filter(Boolean).join("    ");
  };
  const sheet = new Sheet(place, {
    bpm: words.bpm, foot, now: () => `${words.now}  ${shown.title}`, earlier: () => `${words.before}  ${chosenEarlier()?.title ?? ""}`,
  }, told);

  const chosenEarlier = () => earlier.find((one) => one.id === find("[data-earlier-ecg]")?.value);

  function filterWords(chosen) {
    if (!isOn(chosen)) return "";
    const parts = [chosen.high ? `≥ ${chosen.high} Hz` : "", chosen.low ? `≤ ${chosen.low} Hz` : "", chosen.notch ? words.no_mains : ""];
    return `${words.filtered} ${parts.filter(Boolean).join(", ")}`;
  }

  function told() {
    facts.measured(sheet);
    const { cursor, measure } = sheet;
    const parts = [measure ? facts.said(measure) : "", cursor ? facts.where(cursor) : ""];
    find("[data-ecg-says]").textContent = parts.filter(Boolean).join("  |  ");
  }

  function marks() {
    find("[data-uncalibrated]").hidden = isCalibrated();
    find("[data-calibrated]").hidden = !isCalibrated();
    const filtered = find("[data-filtered]");
    filtered.hidden = !isOn(sheet.chosen);
    filtered.textContent = isOn(sheet.chosen) ? `${filterWords(sheet.chosen)} ${words.picture_only}` : "";
    for (const name of ["speed", "gain", "layout", "rhythm", "compare"]) if (choice(name)) choice(name).value = String(sheet.wish[name]);
    for (const name of ["high", "low", "notch"]) find(`[data-filter=${name}]`).value = String(sheet.chosen[name]);
    const { now, wish } = sheet;
    if (!now) return;
    // Where the paper needs the whole width, what the device says goes below it.
    page.classList.toggle("wide", place.querySelector("canvas").offsetWidth > page.clientWidth - BESIDE);
    const seconds = secondsOf(now.rhythm);
    find(".ecg-pages").hidden = seconds <= WINDOW + 0.5;
    find("[data-seconds]").textContent = `${wish.start}–${Math.min(seconds, wish.start + WINDOW).toFixed(0)} / ${now.seconds.toFixed(0)} s`;
    place.setAttribute("aria-label", `${words.paper} ${shown.title} ${foot(sheet)}`);
  }

  function none(error) {
    find(".ecg-none").textContent = error.message;
    find(".ecg-none").hidden = false;
    for (const canvas of place.querySelectorAll("canvas")) canvas.hidden = true;
  }

  async function show(one) {
    const mine = ++asked;
    let recording;
    try {
      recording = await load(one.id);
    } catch (error) {
      if (mine === asked) none(error);
      return;
    }
    if (mine !== asked) return;
    shown = one;
    find(".ecg-none").hidden = true;
    for (const canvas of place.querySelectorAll("canvas")) canvas.hidden = false;
    choice("rhythm").replaceChildren(...recording.rhythm.leads.map((lead) => new Option(lead.name, lead.name)));
    sheet.show(recording);
    facts.show(recording);
    marks();
    place.dataset.ready = one.id;
  }

  async function compare() {
    const wanted = sheet.wish.compare ? chosenEarlier() : null;
    if (!wanted) { sheet.beside(null); return; }
    try {
      const recording = await load(wanted.id);
      if (chosenEarlier() !== wanted || !sheet.wish.compare) return;
      const both = Boolean(recording.beat && sheet.now?.beat);
      choice("compare").querySelector("[value=beats]").disabled = !both;
      if (sheet.wish.compare === "beats" && !both) sheet.wish.compare = "over";
      sheet.beside(recording);
      place.dataset.beside = wanted.id;
    } catch (error) {
      sheet.wish.compare = "";
      sheet.beside(null);
      find("[data-ecg-says]").textContent = error.message;
    }
    marks();
  }

  function wish(name, value) {
    sheet.wish[name] = ["speed", "gain"].includes(name) ? Number(value) : value;
    if (name === "layout" || name === "rhythm") {
      try { localStorage.setItem(KEPT, JSON.stringify({ layout: sheet.wish.layout, rhythm: sheet.wish.rhythm })); } catch { /* asked again */ }
    }
    if (name === "compare") compare();
    else sheet.draw();
    marks();
  }
  function step(name, all, by) {
    const next = all[all.indexOf(sheet.wish[name]) + by];
    if (next !== undefined) wish(name, next);
  }
  function turn(by) {
    const last = Math.max(0, secondsOf(sheet.now.rhythm) - WINDOW);
    const next = Math.min(Math.max(0, sheet.wish.start + by * WINDOW), Math.ceil(last / WINDOW) * WINDOW);
    wish("start", next);
  }
  const layouts = ["3x4", "6x2", "12x1"];
  const options = () => [...(choice("compare")?.options ?? [])].filter((option) => !option.disabled).map((option) => option.value);
  const next = (all, value) => all[(all.indexOf(value) + 1) % all.length];

  const keys = {
    " ": () => sheet.hold(),
    Enter: () => { sheet.zoom(sheet.cursor?.cell.lead ?? sheet.plan.cells[0]?.lead); marks(); },
    Escape: () => { if (sheet.wish.single) sheet.zoom(); else sheet.clear(); },
    "[": () => sheet.other(-1),
    "]": () => sheet.other(1),
    s: () => sheet.snap(),
    m: () => sheet.march(),
    x: () => sheet.clear(),
    Delete: () => sheet.remove(),
    Backspace: () => sheet.remove(),
    t: () => facts.take("qt", sheet.interval()),
    i: () => facts.take("rr", sheet.interval()),
    "+": () => step("gain", GAINS, 1),
    "=": () => step("gain", GAINS, 1),
    "-": () => step("gain", GAINS, -1),
    ",": () => step("speed", SPEEDS, -1),
    ".": () => step("speed", SPEEDS, 1),
    l: () => wish("layout", next(layouts, sheet.wish.layout)),
    p: () => choice("compare") && wish("compare", next(options(), sheet.wish.compare)),
    f: () => { sheet.filter({ high: 0, low: 0, notch: 0 }); marks(); },
    PageDown: () => turn(1),
    PageUp: () => turn(-1),
  };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  place.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || !sheet.plan) return;
    if (arrows[event.key]) sheet.step(...arrows[event.key], event.shiftKey);
    else if (Object.hasOwn(keys, event.key)) keys[event.key]();
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (!event.altKey || event.ctrlKey || event.metaKey || event.isComposing || document.querySelector("dialog[open]")) return;
    if (event.code === "KeyW") place.focus();
    else if (event.code === "KeyS") facts.intoReport();
    else if (event.code === "KeyQ") facts.takeCorrected();
    else return;
    event.preventDefault();
  });
  section.addEventListener("change", (event) => {
    const { target } = event;
    if (target.dataset.wish) wish(target.dataset.wish, target.value);
    else if (target.dataset.filter) {
      sheet.filter({ ...sheet.chosen, [target.dataset.filter]: Number(target.value) });
      marks();
    } else if ("ecg" in target.dataset) show(own.find((one) => one.id === target.value)).then(compare);
    else if ("earlierEcg" in target.dataset) compare();
  });
  place.addEventListener("dblclick", marks);
  for (const button of section.querySelectorAll("[data-page]")) button.addEventListener("click", () => turn(Number(button.dataset.page)));
  document.querySelector("[data-marks]").addEventListener("change", ({ target }) => sheet.set({ marks: target.checked }));
  document.querySelector("[data-clear]")?.addEventListener("click", () => sheet.clear());
  calibrating(section, () => { sheet.draw(); marks(); });

  try { Object.assign(sheet.wish, JSON.parse(localStorage.getItem(KEPT) ?? "{}")); } catch { /* as it begins */ }
  if (!layouts.includes(sheet.wish.layout)) sheet.wish.layout = layouts[0];
  show(shown).then(() => {
    if (document.activeElement === document.body) place.focus({ preventScroll: true });
  });
}

document.querySelectorAll("section.ecg").forEach(start);
