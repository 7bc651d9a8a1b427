// What stands where on the sheet, in millimetres of paper. A cell is one lead over a stretch of time: `x` is where its
// time `from` is drawn, `y` where its middle value is. Nothing here knows of pixels.
import { beats } from "./beats.js";
import { lead, secondsOf } from "./data.js";

export const TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
export const WINDOW = 10; // seconds on a sheet
export const LEFT = 10; // mm for the calibration pulse
const TOP = 5;
const BOTTOM = 6; // mm for the line that says the scale
const PITCH = { "3x4": 24, "6x2": 17, "12x1": 12, single: 60, beside: 18, over: 26 }; // mm between rows at 10 mm/mV
const TALLER = { 5: 0.8, 10: 1, 20: 1.5 };
const BEFORE = 0.4; // seconds that are shown before the beat by which two strips are laid upon each other
const STRIP = 2.5; // seconds of a lead when two recordings stand beside each other

const around = (strip, name) => lead(strip, name) ?? null;

// `wish`: { layout, rhythm, single, speed, gain, start, compare }; `now` and `earlier` are recordings.
export function plan(wish, now, earlier) {
  if (wish.single) return single(wish, now);
  if (earlier && wish.compare === "beside") return beside(wish, now, earlier);
  if (earlier && wish.compare === "over") return over(wish, now, earlier);
  if (earlier && wish.compare === "beats" && now.beat && earlier.beat) return beatsOver(wish, now, earlier);
  return grid(wish, now);
}

function sheet(wish, kind, rows, seconds) {
  const pitch = Math.round(PITCH[kind] * TALLER[wish.gain]);
  return {
    kind, pitch, cells: [], pulses: Array.from({ length: rows }, (_unused, row) => TOP + pitch * (row + 0.5)), heads: [],
    width: Math.ceil((LEFT + seconds * wish.speed + 2) / 5) * 5, height: TOP + pitch * rows + BOTTOM, continuous: false,
  };
}

function cell(made, wish, row, x, found, strip, from, seconds, more = {}) {
  if (!found) return;
  made.cells.push({
    lead: found.name, values: found.values, rate: strip.rate, from, to: from + seconds, x, y: made.pulses[row],
    top: made.pulses[row] - made.pitch / 2, height: made.pitch, width: seconds * wish.speed, source: "now", named: true, ...more,
  });
}

function grid(wish, now) {
  const { rhythm } = now;
  const rows = { "3x4": 3, "6x2": 6 }[wish.layout];
  const names = rows ? TWELVE : rhythm.leads.map((one) => one.name);
  const strips = rows ? 1 : 0;
  const made = sheet(wish, wish.layout, (rows ?? names.length) + strips, WINDOW);
  const columns = rows ? TWELVE.length / rows : 1;
  const seconds = WINDOW / columns;
  names.forEach((name, at) => {
    const column = Math.floor(at / (rows ?? names.length));
    const from = wish.start + column * seconds;
    cell(made, wish, at % (rows ?? names.length), LEFT + column * seconds * wish.speed, around(rhythm, name), rhythm, from, seconds, { parted: column > 0 });
  });
  if (strips) cell(made, wish, rows, LEFT, around(rhythm, wish.rhythm), rhythm, wish.start, WINDOW);
  made.continuous = true; // one time for the whole sheet
  return made;
}

function single(wish, now) {
  const made = sheet(wish, "single", 1, WINDOW);
  cell(made, wish, 0, LEFT, around(now.rhythm, wish.single), now.rhythm, wish.start, WINDOW);
  made.continuous = true;
  return made;
}

// The second at which a strip has the beat that begins the comparison: the first one that has enough before it.
function first(strip, start) {
  const found = beats(strip).filter((at) => at >= start + BEFORE);
  return (found[0] ?? start + BEFORE) - BEFORE;
}

const both = (now, earlier) => TWELVE.filter((name) => lead(now, name) || lead(earlier, name));

function beside(wish, now, earlier) {
  const made = sheet(wish, "beside", 6, 4 * STRIP);
  const from = { now: first(now.rhythm, wish.start), earlier: first(earlier.rhythm, 0) };
  TWELVE.forEach((name, at) => {
    const column = Math.floor(at / 6) * 2;
    [[now, "now"], [earlier, "earlier"]].forEach(([recording, source], more) => {
      const x = LEFT + (column + more) * STRIP * wish.speed;
      cell(made, wish, at % 6, x, around(recording.rhythm, name), recording.rhythm, from[source], STRIP, { source, parted: column + more > 0 });
      if (at % 6 === 0) made.heads.push({ x, source });
    });
  });
  return made;
}

function over(wish, now, earlier) {
  const made = sheet(wish, "over", 3, 4 * STRIP);
  const from = { now: first(now.rhythm, wish.start), earlier: first(earlier.rhythm, 0) };
  both(now.rhythm, earlier.rhythm).forEach((name) => {
    const at = TWELVE.indexOf(name);
    const column = Math.floor(at / 3);
    const x = LEFT + column * STRIP * wish.speed;
    for (const [recording, source] of [[earlier, "earlier"], [now, "now"]]) {
      cell(made, wish, at % 3, x, around(recording.rhythm, name), recording.rhythm, from[source], STRIP, { source, parted: column > 0, named: source === "now" || !lead(now.rhythm, name) });
    }
  });
  made.heads.push({ x: LEFT, source: "now" }, { x: LEFT + STRIP * wish.speed, source: "earlier" });
  return made;
}

// Representative beats, each from as long before its QRS as both have: by the devices' QRS onsets, or by both R peaks.
function beatsOver(wish, now, earlier) {
  const [one, other] = anchors(now, earlier);
  const before = Math.min(one, other);
  const seconds = Math.min(STRIP, before + Math.min(secondsOf(now.beat) - one, secondsOf(earlier.beat) - other));
  const made = sheet(wish, "over", 3, 4 * STRIP);
  both(now.beat, earlier.beat).forEach((name) => {
    const at = TWELVE.indexOf(name);
    const column = Math.floor(at / 3);
    const x = LEFT + column * STRIP * wish.speed;
    for (const [recording, source, anchor] of [[earlier, "earlier", other], [now, "now", one]]) {
      cell(made, wish, at % 3, x, around(recording.beat, name), recording.beat, anchor - before, seconds, { source, parted: column > 0, named: source === "now" || !lead(now.beat, name), beat: true });
    }
  });
  made.heads.push({ x: LEFT, source: "now" }, { x: LEFT + STRIP * wish.speed, source: "earlier" });
  return made;
}

function anchors(now, earlier) {
  const marks = [now, earlier].map((recording) => recording.fiducials["QRS onset"]);
  if (marks.every((mark) => mark !== undefined)) return marks.map((mark) => mark / 1000);
  return [now, earlier].map((recording) => beats(recording.beat)[0] ?? 0);
}
