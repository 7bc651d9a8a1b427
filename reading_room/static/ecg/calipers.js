// Calipers: two points on a lead, what lies between them, and the same interval again over the strip. They are drawn on a
// canvas of their own above the waves, so that moving them never draws a wave again.
import { middle } from "./draw.js";

const NEAR = 2; // mm around the pointer in which it is held by a peak or a steep place
const PEAK = 50; // µV that a peak stands out from its surroundings
const STEEP = 4; // µV in a millisecond
const INK = "#7a1fa2";
const CHOSEN = "#c2185b";

// A place is { cell, time (s), microvolts }.
export function placeAt(plan, wish, x, y) {
  let best = null;
  let away = Infinity;
  for (const cell of plan.cells) {
    if (x < cell.x - 0.5 || x > cell.x + cell.width + 0.5 || y < cell.top - cell.height || y > cell.top + 2 * cell.height) continue;
    const time = Math.min(Math.max(cell.from + (x - cell.x) / wish.speed, cell.from), cell.to);
    const drawn = mm(cell, wish, time, valueAt(cell, time));
    const distance = Math.min(Math.abs(y - drawn.y), Math.abs(y - cell.y) + 1) + (cell.source === "now" ? 0 : 0.2);
    if (distance < away) {
      away = distance;
      best = { cell, time, microvolts: middle(cell.values) + ((cell.y - y) / wish.gain) * 1000 };
    }
  }
  return best;
}

export function valueAt(cell, time) {
  const at = Math.min(Math.max(time * cell.rate, 0), cell.values.length - 1);
  const before = Math.floor(at);
  const value = cell.values[before];
  const next = cell.values[Math.min(before + 1, cell.values.length - 1)];
  return value + (next - value) * (at - before);
}

export function mm(cell, wish, time, microvolts) {
  return { x: cell.x + (time - cell.from) * wish.speed, y: cell.y - ((microvolts - middle(cell.values)) / 1000) * wish.gain };
}

// The nearest peak or steepest place of the same lead within `NEAR` mm, or the place itself.
export function snapped(place, wish, near = NEAR) {
  const { cell } = place;
  const { values, rate } = cell;
  const reach = Math.round(0.02 * rate);
  const here = mm(cell, wish, place.time, place.microvolts);
  let best = place;
  let away = near;
  const offer = (at, value) => {
    const time = at / rate;
    if (time < cell.from || time > cell.to) return;
    const there = mm(cell, wish, time, value);
    // What counts is where along the strip; how high only where two offers are about equally near.
    const distance = Math.hypot(there.x - here.x, (there.y - here.y) / 4);
    if (Math.abs(there.x - here.x) <= near && distance < away) {
      away = distance;
      best = { cell, time, microvolts: value };
    }
  };
  const first = Math.max(reach, Math.floor((place.time - near / wish.speed) * rate));
  const last = Math.min(values.length - reach - 2, Math.ceil((place.time + near / wish.speed) * rate));
  for (let i = first; i <= last; i++) {
    let least = Infinity;
    let most = -Infinity;
    let steepest = 0;
    for (let j = i - reach; j <= i + reach; j++) {
      if (values[j] < least) least = values[j];
      if (values[j] > most) most = values[j];
      steepest = Math.max(steepest, Math.abs(values[j + 1] - values[j]));
    }
    if (most - least >= PEAK && (values[i] === most || values[i] === least) && values[i] !== values[i - 1]) {
      let end = i; // a crest may be as high for a few samples: its middle counts
      while (end - i < reach && values[end + 1] === values[i]) end++;
      const ends = [values[i - reach], values[i + reach]];
      const out = values[i] === most ? values[i] - Math.max(...ends) : Math.min(...ends) - values[i];
      if (out >= PEAK / 2) offer((i + end) / 2, values[i]);
    }
    const slope = Math.abs(values[i + 1] - values[i]);
    if (slope === steepest && slope * rate >= STEEP * 1000) offer(i + 0.5, (values[i] + values[i + 1]) / 2);
  }
  return best;
}

export function between(measure) {
  const ms = Math.abs(measure.to.time - measure.from.time) * 1000;
  return { ms, bpm: ms >= 100 ? 60000 / ms : 0, mv: (measure.to.microvolts - measure.from.microvolts) / 1000 };
}

export function said(measure, words) {
  const { ms, bpm, mv } = between(measure);
  return [`${Math.round(ms)} ms`, ...(bpm ? [`${Math.round(bpm)} ${words.bpm}`] : []), `${mv.toFixed(2)} mV`].join(" · ");
}

// The cell that shows a place now: the layout may have changed since. `home` is the cell in which it was set.
export function cellOf(plan, { time, cell }, home) {
  const same = plan.cells.filter((found) => found.lead === cell.lead && found.source === cell.source
    && Boolean(found.beat) === Boolean(cell.beat) && found.from <= time && time <= found.to);
  return same.find((found) => found.x === home.x && found.y === home.y) ?? same[0];
}

function vertical(context, x, top, height, k) {
  context.beginPath();
  context.moveTo(x * k, top * k);
  context.lineTo(x * k, (top + height) * k);
  context.stroke();
}

function march(context, plan, wish, measure, k) {
  const step = measure.to.time - measure.from.time;
  if (Math.abs(step) < 0.1) return;
  context.setLineDash([1.2 * k, 0.8 * k]);
  context.globalAlpha = 0.75;
  for (const cell of plan.cells) {
    if (Boolean(cell.beat) !== Boolean(measure.from.cell.beat) || cell.source !== measure.from.cell.source) continue;
    const size = Math.abs(step);
    for (let n = Math.ceil((cell.from - measure.from.time) / size); measure.from.time + n * size <= cell.to; n++) {
      vertical(context, cell.x + (measure.from.time + n * size - cell.from) * wish.speed, cell.top, cell.height, k);
    }
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
}

export function draw(context, plan, wish, { measures, chosen, cursor }, words, k) {
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.lineWidth = Math.max(1, 0.25 * k);
  for (const measure of measures) {
    const cell = cellOf(plan, measure.from, measure.home);
    if (!cell) continue;
    context.strokeStyle = context.fillStyle = measure === chosen ? CHOSEN : INK;
    if (measure.march) march(context, plan, wish, measure, k);
    const [a, b] = [measure.from, measure.to].map((place) => mm(cell, wish, place.time, place.microvolts));
    const top = Math.min(cell.top, a.y, b.y);
    const height = Math.max(cell.top + cell.height, a.y, b.y) - top;
    vertical(context, a.x, top, height, k);
    vertical(context, b.x, top, height, k);
    context.beginPath();
    for (const end of [a, b]) {
      context.moveTo((Math.min(a.x, b.x) - 1.5) * k, end.y * k);
      context.lineTo((Math.max(a.x, b.x) + 1.5) * k, end.y * k);
    }
    context.stroke();
    label(context, said(measure, words), Math.max(a.x, b.x) + 1, top + 3.2, plan, k);
  }
  if (cursor) {
    const at = mm(cursor.cell, wish, cursor.time, cursor.microvolts);
    context.strokeStyle = CHOSEN;
    vertical(context, at.x, cursor.cell.top, cursor.cell.height, k);
    context.beginPath();
    context.moveTo((at.x - 2) * k, at.y * k);
    context.lineTo((at.x + 2) * k, at.y * k);
    context.stroke();
  }
}

function label(context, words, x, y, plan, k) {
  context.font = `600 ${3 * k}px Arial, "Noto Sans SC", "Microsoft YaHei", sans-serif`;
  const width = context.measureText(words).width / k;
  const left = Math.min(x, plan.width - width - 1.5);
  const colour = context.fillStyle;
  context.fillStyle = "rgba(255, 255, 255, .88)";
  context.fillRect((left - 0.5) * k, (y - 3) * k, (width + 1) * k, 4 * k);
  context.fillStyle = colour;
  context.fillText(words, left * k, y * k);
}
