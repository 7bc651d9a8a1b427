// Writing with few keys: templates, phrases, the center's critical results, an earlier report, the image grade.
// Keys: Alt+N normal, Alt+P phrases, Alt+C critical results, Alt+T template; a shortcut and Tab, or ;shortcut and a blank.
import { choose } from "./palette.js";
import { TemplateForm } from "./template-form.js";
import { type } from "./typing.js";

const form = document.querySelector("form.report[data-reading]");
const AGAIN = 8000; // milliseconds until the aids are asked for again
const AREAS = ["findings", "impression", "critical"];
const STOP = "{}";

function start() {
  const bar = form.querySelector(".aids");
  const words = { ...bar.dataset, sides: { L: bar.dataset.left, R: bar.dataset.right, B: bar.dataset.both } };
  const csrf = document.querySelector('meta[name="csrf"]').content;
  const english = document.documentElement.lang === "en";
  const says = bar.querySelector("[data-says]");
  const chooser = bar.querySelector("[data-template]");
  const say = (text) => { says.textContent = text; };
  const templates = new TemplateForm(form, words, say);
  let aids = { templates: [], phrases: [], critical: [] };
  let area = form.elements.findings; // where the cursor was last
  let asked = 0; // when normal was pressed over words that are there

  const nameOf = (thing) => (english && thing.name_en) || thing.name;
  async function load() {
    try {
      const answer = await fetch(`/api/readings/${form.dataset.reading}/aids`, { headers: { Accept: "application/json" } });
      if (!answer.ok) return;
      aids = await answer.json();
    } catch {
      setTimeout(load, AGAIN);
      return;
    }
    const group = (label, list) => {
      const found = document.createElement("optgroup");
      found.label = label;
      found.append(...list.map((template) => new Option(nameOf(template), template.id)));
      return found;
    };
    const fitting = aids.templates.filter((template) => template.fit > 0);
    const others = aids.templates.filter((template) => !template.fit);
    chooser.replaceChildren(new Option(words.none, ""));
    if (fitting.length) chooser.append(group(words.fitting, fitting));
    if (others.length) chooser.append(group(words.others, others));
    bar.querySelector("[data-normal]").disabled = !fitting.some((template) => template.is_normal);
    templates.know(aids.templates);
    bar.dataset.ready = "1";
  }

  function normal() {
    const template = aids.templates.find((found) => found.is_normal && found.fit > 0);
    if (!template) { say(words.noNormal); return; }
    const typed = ["findings", "impression"].some((name) => form.elements[name].value.trim());
    if (typed && Date.now() - asked > 6000) {
      asked = Date.now();
      say(words.sure);
      return;
    }
    asked = 0;
    templates.begin(template, { replace: true });
    form.elements.impression.focus();
    say("");
  }

  // --- phrases -------------------------------------------------------------------------------------------------
  function expand(where, from, to, phrase) {
    const target = phrase.field && where.name !== phrase.field ? form.elements[phrase.field] : where;
    if (target !== where) {
      type(where, from, to, "");
      from = to = target.value.length;
    }
    type(target, from, to, phrase.words);
    const stop = phrase.words.indexOf(STOP);
    if (stop >= 0) target.setSelectionRange(from + stop, from + stop + STOP.length);
  }
  const named = (shortcut) => {
    const fitting = aids.phrases.filter((phrase) => phrase.shortcut.toLowerCase() === shortcut.toLowerCase());
    return fitting.find((phrase) => phrase.own) ?? fitting[0]; // one's own before the center's
  };
  function phrases() {
    const where = area;
    const [from, to] = [where.selectionStart, where.selectionEnd];
    choose(words.phrases, aids.phrases.map((phrase) => ({
      key: phrase.shortcut, words: phrase.title || phrase.words, more: phrase.title ? phrase.words : "", value: phrase,
    })), (phrase) => expand(where, from, to, phrase));
  }
  function typing(event) {
    const where = event.target;
    if (event.isComposing || event.keyCode === 229 || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!AREAS.includes(where.name) || where.selectionStart !== where.selectionEnd && event.key !== "Tab") return;
    const before = where.value.slice(0, where.selectionStart);
    if (event.key === " ") {
      const found = /[;；]([A-Za-z0-9]{1,16})$/.exec(before);
      const phrase = found && named(found[1]);
      if (!phrase) return;
      event.preventDefault();
      expand(where, before.length - found[0].length, before.length, phrase);
    }
    if (event.key === "Tab" && !event.shiftKey) {
      const found = where.selectionStart === where.selectionEnd && /[;；]?([A-Za-z0-9]{1,16})$/.exec(before);
      const phrase = found && named(found[1]);
      if (phrase) {
        event.preventDefault();
        expand(where, before.length - found[0].length, before.length, phrase);
        return;
      }
      const next = where.value.indexOf(STOP, where.selectionEnd);
      if (next >= 0) {
        event.preventDefault();
        where.setSelectionRange(next, next + STOP.length);
      }
    }
  }
  const selected = () => area.value.slice(area.selectionStart, area.selectionEnd).trim();
  async function keepPhrase() {
    const panel = bar.querySelector("[data-new-phrase]");
    const shortcut = panel.querySelector("input").value.trim();
    const answer = await fetch("/api/phrases", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: JSON.stringify({ center_id: form.dataset.center, shortcut, words: panel.dataset.words }),
    }).catch(() => null);
    const body = await answer?.json().catch(() => null);
    if (!answer?.ok) { say(body?.error?.message ?? words.away); return; }
    aids.phrases.push(body);
    panel.hidden = true;
    say(words.kept);
    area.focus();
  }

  // --- critical results, an earlier report, the image grade ---------------------------------------------------
  function critical() {
    const field = form.elements.critical;
    choose(words.critical, aids.critical.map((item) => ({
      key: item.code, words: nameOf(item), more: item.words, value: item,
    })), (item) => {
      const said = item.words || item.name;
      const held = field.value.trimEnd();
      if (!held.includes(said)) type(field, held.length, field.value.length, held ? `\n${said}` : said);
      field.focus();
    });
  }
  async function copyPrior(report) {
    const answer = await fetch(`/api/readings/${form.dataset.reading}/priors/${report}`).catch(() => null);
    if (!answer?.ok) { say(words.away); return; }
    const prior = await answer.json();
    templates.remember();
    for (const name of ["impression", "findings"]) {
      const field = form.elements[name];
      const held = field.value.trimEnd();
      if (prior[name]) type(field, held.length, field.value.length, held ? `\n${prior[name]}` : prior[name]);
    }
    say(words.copied);
    form.scrollIntoView({ block: "nearest" });
  }
  const grade = form.elements.image_grade;
  const why = form.elements.image_grade_reason;
  async function saveGrade() {
    const needed = ["C", "rejected"].includes(grade.value);
    why.hidden = !needed;
    if (needed && !why.value.trim()) { why.focus(); return; }
    const answer = await fetch(`/api/readings/${form.dataset.reading}/grade`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: JSON.stringify({ grade: grade.value, reason: needed ? why.value.trim() : "" }),
    }).catch(() => null);
    if (!answer?.ok) say(words.away); // it goes with the next button too
  }

  // --- keys and buttons ----------------------------------------------------------------------------------------
  form.addEventListener("focusin", (event) => { if (AREAS.includes(event.target.name)) area = event.target; });
  form.addEventListener("keydown", typing);
  document.addEventListener("keydown", (event) => {
    if (!event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    const does = { KeyN: normal, KeyP: phrases, KeyC: critical, KeyT: () => chooser.focus() }[event.code];
    if (!does || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    does();
  });
  document.addEventListener("selectionchange", () => {
    const keep = bar.querySelector("[data-keep-phrase]");
    if (document.activeElement === area) keep.hidden = !selected();
  });
  bar.querySelector("[data-normal]").addEventListener("click", normal);
  bar.querySelector("[data-phrases]").addEventListener("click", phrases);
  form.querySelector("[data-critical-list]").addEventListener("click", critical);
  bar.querySelector("[data-undo]").addEventListener("click", () => { templates.undo(); say(""); });
  bar.querySelector("[data-keep-phrase]").addEventListener("mousedown", (event) => event.preventDefault());
  bar.querySelector("[data-keep-phrase]").addEventListener("click", () => {
    const panel = bar.querySelector("[data-new-phrase]");
    panel.dataset.words = selected();
    panel.hidden = false;
    panel.querySelector("input").focus();
  });
  bar.querySelector("[data-new-phrase] button").addEventListener("click", keepPhrase);
  bar.querySelector("[data-new-phrase] input").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    keepPhrase();
  });
  chooser.addEventListener("change", () => {
    const template = aids.templates.find((found) => found.id === chooser.value);
    if (template) templates.begin(template); else templates.leave();
  });
  grade?.addEventListener("change", saveGrade); // images that are read anew are graded where they were made
  why?.addEventListener("change", saveGrade);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy-prior]");
    if (button) copyPrior(button.dataset.copyPrior);
  });
  load();
}

if (form) start();
