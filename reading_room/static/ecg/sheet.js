// The sheet: paper with waves, and above it the calipers. It draws waves when what is shown changes, and calipers alone
// while something moves.
import * as calipers from "./calipers.js";
import { paper, waves } from "./draw.js";
import { filtered, isOn } from "./filters.js";
import { plan as planned } from "./plan.js";
import { pixels } from "./scale.js";

const TENTH = 0.1; // mV by an arrow with Shift; a tenth of it without
const EDGE = 24; // CSS pixels from the edge of what is seen
const MOST = 20; // measures at once

export class Sheet {
  // `told` is called with what to say of the calipers; `words` has "bpm", "now", "earlier" and "foot".
  constructor(place, words, told) {
    this.place = place;
    this.words = words;
    this.told = told;
    [this.below, this.above] = place.querySelectorAll("canvas");
    this.wish = { layout: "3x4", rhythm: "II", single: "", speed: 25, gain: 10, start: 0, compare: "", marks: false };
    this.chosen = { high: 0, low: 0, notch: 0 };
    this.now = null;
    this.earlier = null;
    this.shown = new Map(); // a recording and what is drawn of it: filtered, or itself
    this.measures = [];
    this.measure = null; // the one that keys work on
    this.cursor = null;
    this.began = false; // the cursor drags the second point of the measure
    this.waiting = 0;
    place.addEventListener("pointerdown", (event) => this.press(event));
    place.addEventListener("pointermove", (event) => this.move(event));
    place.addEventListener("pointerup", (event) => this.release(event));
    place.addEventListener("pointercancel", (event) => this.release(event));
    place.addEventListener("dblclick", (event) => this.zoom(this.at(event)?.cell.lead));
    this.ratio = devicePixelRatio;
    addEventListener("resize", () => { // also when the page is zoomed, or moves to another screen
      if (this.ratio !== devicePixelRatio) this.draw();
    });
  }

  show(now) {
    this.now = now;
    this.shown.clear();
    this.clear();
    const names = now.rhythm.leads.map((one) => one.name);
    if (!names.includes(this.wish.rhythm)) this.wish.rhythm = names.includes("II") ? "II" : names[0];
    if (names.length < 6) this.wish.layout = "12x1";
    Object.assign(this.wish, { single: "", start: 0 });
    this.draw();
  }

  beside(earlier) {
    this.earlier = earlier;
    this.clear();
    this.draw();
  }

  set(wish) {
    Object.assign(this.wish, wish);
    this.draw();
  }

  filter(chosen) {
    this.chosen = { ...chosen };
    this.shown.clear();
    this.draw();
  }

  // What is drawn of a recording.
  drawn(recording) {
    if (!recording || !isOn(this.chosen)) return recording;
    if (!this.shown.has(recording)) {
      const through = (strip, chosen) => strip && {
        ...strip, leads: strip.leads.map((one) => ({ ...one, values: filtered(one.values, strip.rate, chosen) })),
      };
      // A beat is too short to know a slow drift from an ST segment.
      const made = { ...recording, rhythm: through(recording.rhythm, this.chosen), beat: through(recording.beat, { ...this.chosen, high: 0 }) };
      this.shown.set(recording, made);
    }
    return this.shown.get(recording);
  }

  draw() {
    if (!this.now) return;
    this.ratio = devicePixelRatio;
    const k = pixels() * this.ratio;
    this.plan = planned(this.wish, this.drawn(this.now), this.drawn(this.earlier));
    this.k = k;
    for (const canvas of [this.below, this.above]) {
      canvas.width = Math.ceil(this.plan.width * k);
      canvas.height = Math.ceil(this.plan.height * k);
      canvas.style.width = `${canvas.width / this.ratio}px`;
      canvas.style.height = `${canvas.height / this.ratio}px`;
    }
    const context = this.below.getContext("2d", { alpha: false });
    paper(context, this.plan, k);
    const beats = this.wish.marks ? this.now.computed.times : [];
    const heads = { now: this.words.now(), earlier: this.words.earlier() };
    waves(context, this.plan, this.wish, { foot: this.words.foot(this), heads, beats }, k);
    this.follow();
    this.place.dataset.drawn = String(Number(this.place.dataset.drawn ?? 0) + 1);
    this.place.dataset.kind = this.plan.kind;
  }

  // Measures hold on to the cells of the picture before: filtering or another layout makes new ones.
  follow() {
    for (const measure of this.measures) {
      const cell = calipers.cellOf(this.plan, measure.from, measure.home);
      if (cell) for (const end of ["from", "to"]) measure[end] = { ...measure[end], cell };
    }
    if (this.cursor) {
      const cell = calipers.cellOf(this.plan, this.cursor, this.cursor.cell);
      this.cursor = cell ? { ...this.cursor, cell } : null;
    }
    this.over();
  }

  over() {
    cancelAnimationFrame(this.waiting);
    this.waiting = requestAnimationFrame(() => {
      const state = { measures: this.measures, chosen: this.measure, cursor: this.began ? null : this.cursor };
      calipers.draw(this.above.getContext("2d"), this.plan, this.wish, state, this.words, this.k);
    });
    this.told(this);
  }

  // --- the pointer ---------------------------------------------------------------------------------------------
  at(event) {
    const box = this.below.getBoundingClientRect();
    const css = this.k / this.ratio;
    return calipers.placeAt(this.plan, this.wish, (event.clientX - box.left) / css, (event.clientY - box.top) / css);
  }
  held(place, event) {
    return event.altKey ? place : calipers.snapped(place, this.wish);
  }
  press(event) {
    if (event.button !== 0 || !this.plan) return;
    const place = this.at(event);
    if (!place) return;
    this.place.setPointerCapture(event.pointerId);
    this.pressed = { x: event.clientX, y: event.clientY, place: this.held(place, event) };
  }
  move(event) {
    if (!this.pressed) return;
    if (!this.dragged && Math.hypot(event.clientX - this.pressed.x, event.clientY - this.pressed.y) < 3) return;
    if (!this.dragged) this.begin(this.pressed.place);
    this.dragged = true;
    const place = this.inCell(event, this.pressed.place.cell);
    this.measure.to = this.held(place, event);
    this.cursor = this.measure.to;
    this.over();
  }
  // Where the pointer is, on the lead on which it was pressed, and within what is shown of it.
  inCell(event, cell) {
    const box = this.below.getBoundingClientRect();
    const css = this.k / this.ratio;
    const x = (event.clientX - box.left) / css;
    const y = (event.clientY - box.top) / css;
    const time = Math.min(Math.max(cell.from + (x - cell.x) / this.wish.speed, cell.from), cell.to);
    const found = calipers.mm(cell, this.wish, time, 0);
    return { cell, time, microvolts: ((found.y - y) / this.wish.gain) * 1000 };
  }
  release() {
    if (this.pressed && !this.dragged) {
      this.cursor = this.pressed.place;
      this.began = false;
    }
    if (this.dragged) this.finish();
    this.pressed = null;
    this.dragged = false;
    if (this.plan) this.over();
  }

  // --- measures ------------------------------------------------------------------------------------------------
  begin(place) {
    this.measure = { from: place, to: place, home: place.cell, march: false };
    this.measures = [...this.measures, this.measure].slice(-MOST);
    this.began = true;
  }
  finish() {
    this.began = false;
    const { from, to } = this.measure;
    if (from.time === to.time && from.microvolts === to.microvolts) this.remove();
  }
  remove() {
    this.measures = this.measures.filter((measure) => measure !== this.measure);
    this.measure = this.measures[this.measures.length - 1] ?? null;
    this.began = false;
    this.over();
  }
  clear() {
    Object.assign(this, { measures: [], measure: null, cursor: null, began: false });
    if (this.plan) this.over();
  }
  march() {
    if (!this.measure) return;
    this.measure.march = !this.measure.march;
    this.over();
  }
  interval() {
    return this.measure ? calipers.between(this.measure).ms : 0;
  }
  zoom(name) {
    this.set({ single: this.wish.single ? "" : (name ?? "") });
  }

  // --- keys ----------------------------------------------------------------------------------------------------
  ready() {
    if (this.cursor) return;
    const cell = this.plan.cells.find((found) => found.source === "now");
    if (cell) this.put(cell, cell.from + (cell.to - cell.from) / 2);
  }
  put(cell, time, microvolts = calipers.valueAt(cell, time)) {
    this.cursor = { cell, time, microvolts: Number.isNaN(microvolts) ? 0 : microvolts };
    if (this.began) this.measure.to = this.cursor;
    // Paper that is wider than its place follows the cursor.
    const x = (cell.x + (time - cell.from) * this.wish.speed) * (this.k / this.ratio);
    const { scrollLeft, clientWidth } = this.place;
    if (x < scrollLeft + EDGE || x > scrollLeft + clientWidth - EDGE) this.place.scrollLeft = x - clientWidth / 2;
    this.over();
  }
  // One sample to the side, or a millimetre; a hundredth of a millivolt up, or a tenth.
  step(sideways, up, big) {
    this.ready();
    if (!this.cursor) return;
    const { cell, time, microvolts } = this.cursor;
    const seconds = big ? 1 / this.wish.speed : 1 / cell.rate;
    const next = Math.min(Math.max(time + sideways * seconds, cell.from), Math.min(cell.to, (cell.values.length - 1) / cell.rate));
    // Going along, the cursor stays on the wave; going up, it leaves it.
    if (sideways) this.put(cell, next);
    else this.put(cell, time, microvolts + up * (big ? TENTH : TENTH / 10) * 1000);
  }
  hold() {
    this.ready();
    if (!this.cursor) return;
    if (this.began) this.finish();
    else this.begin(this.cursor);
    this.over();
  }
  snap() {
    if (!this.cursor) return;
    const place = calipers.snapped(this.cursor, this.wish);
    this.put(place.cell, place.time, place.microvolts);
  }
  other(step) {
    if (this.began) return;
    const cells = this.plan.cells;
    const at = this.cursor ? cells.indexOf(this.cursor.cell) + step : 0;
    const cell = cells[(at + cells.length) % cells.length];
    this.put(cell, cell.from + (cell.to - cell.from) / 2);
  }
}
