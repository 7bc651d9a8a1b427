// What the device says, the corrected QT, and the way of both into the report: by a person's key, never by itself.
import { type } from "../typing.js";
import * as calipers from "./calipers.js";
import { Measured } from "./measured.js";
import { choose, chosen, corrected } from "./qt.js";

function pair(term, words) {
  const name = document.createElement("dt");
  const value = document.createElement("dd");
  name.textContent = term;
  value.textContent = words;
  return [name, value];
}

// A formula that can be chosen, and what it gives.
function choice(name, ms, checked) {
  const [term, value] = pair("", `${ms} ms`);
  const label = document.createElement("label");
  const radio = document.createElement("input");
  Object.assign(radio, { type: "radio", name: "qtc-formula", value: name, checked });
  label.append(radio, ` ${name}`);
  term.append(label);
  return [term, value];
}

function item(words) {
  const made = document.createElement("li");
  made.textContent = words;
  return made;
}

// When it was recorded: a device that names no zone means its own place's, another one's is changed into that of the page.
function clock(at, timeZone) {
  const isAware = /([+-]\d\d:\d\d|Z)$/.test(at);
  return isAware ? new Date(at).toLocaleString("sv-SE", { timeZone }) : at.replace("T", " ").slice(0, 19);
}

export class Facts {
  constructor(page, words) {
    this.page = page;
    this.words = words;
    this.form = page.querySelector("form.report[data-reading]");
    this.numbers = new Measured(this.form);
    this.qt = page.querySelector("[data-qt]");
    this.rr = page.querySelector("[data-rr]");
    this.taking = page.querySelector("[data-take-qtc]");
    this.formula = chosen();
    this.found = null; // corrected QTs by formula
    this.recording = null;
    this.taking?.addEventListener("click", () => this.takeCorrected());
    this.find("corrected")?.addEventListener("change", ({ target }) => { this.formula = target.value; choose(target.value); });
    for (const field of [this.qt, this.rr]) field.addEventListener("input", () => { this.from(this.words.typed); this.correct(); });
    for (const button of page.querySelectorAll("[data-suspected]")) button.addEventListener("click", () => this.add("critical", button.dataset.suspected));
    page.querySelector("[data-take]")?.addEventListener("click", () => this.intoReport());
  }
  find(name) {
    return this.page.querySelector(`[data-${name}]`);
  }

  measurement(name, value) {
    const { unit, label } = this.words.kinds[name];
    return [label, `${Math.round(value)}${unit === "°" ? "" : " "}${unit}`];
  }
  show(recording) {
    this.recording = recording;
    const { measurements, statements, cart, recorded_at: at } = recording;
    const rows = Object.entries(measurements).filter(([name]) => this.words.kinds[name]);
    this.find("measurements").replaceChildren(...rows.flatMap(([name, value]) => pair(...this.measurement(name, value))));
    if (!rows.length) this.find("measurements").replaceChildren(...pair("—", this.words.nothing));
    this.find("statements").replaceChildren(...(statements.length ? statements.map(item) : [item(this.words.nothing)]));
    const device = [cart.manufacturer, cart.model, cart.serial_number].filter(Boolean).join(" ");
    this.advise(recording.computed, measurements["heart rate"]);
    this.find("about").replaceChildren(
      ...(at ? pair(this.words.recorded, clock(at, this.words.zone)) : []), ...(device ? pair(this.words.cart, device) : []),
      ...pair(this.words.rate, `${recording.rhythm.rate} Hz`),
    );
    this.numbers.says(measurements);
    const rr = measurements["RR interval"] ?? (measurements["heart rate"] ? 60000 / measurements["heart rate"] : undefined);
    this.qt.value = measurements["QT interval"] === undefined ? "" : String(Math.round(measurements["QT interval"]));
    this.rr.value = rr === undefined ? "" : String(Math.round(rr));
    this.from(this.qt.value && this.rr.value ? this.words.by_device : "");
    this.correct();
  }
  // What we computed ourselves: beside the device's, with a mark where the two are far apart, and into no report.
  advise({ rate, times }, device) {
    const far = rate !== null && device !== undefined && Math.abs(rate - device) > Math.max(5, device / 10);
    this.find("computed").replaceChildren(...(rate === null ? [] : pair(...this.measurement("heart rate", rate))));
    this.find("apart").hidden = !far;
    this.find("unclear").hidden = rate !== null;
    this.find("marks").disabled = !times.length;
  }
  from(words) {
    this.find("from").textContent = words;
  }
  correct() {
    this.found = corrected(Number(this.qt.value), Number(this.rr.value));
    const row = ([name, ms]) => (this.taking ? choice(name, ms, name === this.formula) : pair(name, `${ms} ms`));
    this.find("corrected").replaceChildren(...Object.entries(this.found ?? {}).flatMap(row));
    if (this.taking) this.taking.disabled = !this.found;
  }
  // The chosen formula's, over what stands there: the reader asked for this one.
  takeCorrected() {
    if (this.taking && this.found) this.numbers.put("QTc interval", this.found[this.formula], this.formula);
  }
  take(what, ms) {
    if (!ms) return;
    this[what].value = String(Math.round(ms));
    this.from(this.words.by_calipers);
    this.correct();
  }

  // --- calipers ------------------------------------------------------------------------------------------------
  said(measure) {
    return `${measure.from.cell.lead}${this.words.colon}${calipers.said(measure, this.words)}`;
  }
  where({ cell, time, microvolts }) {
    return `${cell.lead}${this.words.colon}${time.toFixed(3)} s · ${(microvolts / 1000).toFixed(2)} mV`;
  }
  measured({ measures }) {
    this.find("measures").replaceChildren(...measures.map((measure) => item(this.said(measure))));
  }

  // --- the report ----------------------------------------------------------------------------------------------
  add(name, words) {
    const field = this.form.elements[name];
    const held = field.value.trimEnd();
    if (words && !held.includes(words)) type(field, held.length, field.value.length, held ? `\n${words}` : words);
  }
  intoReport() {
    if (!this.form || !this.recording) return;
    this.numbers.take();
    this.add("impression", this.recording.statements.join("\n"));
  }
}
