// Paper and waves on a canvas. `k` is device pixels for a millimetre. Paper is paper in the dark theme too.
import { LEFT } from "./plan.js";

const PAPER = "#fffdfa";
const FINE = "#f7d5d2"; // 1 mm
const BOLD = "#e8a29d"; // 5 mm
const INK = { now: "#101014", earlier: "#1857c4" };
const MARK = "#00705a";
const LINE = 0.26; // mm: how wide a wave is drawn
const NAME = 3.1; // mm: the height of a lead's name

export function paper(context, plan, k) {
  context.fillStyle = PAPER;
  context.fillRect(0, 0, plan.width * k, plan.height * k);
  for (const [step, colour] of [[1, FINE], [5, BOLD]]) {
    context.fillStyle = colour;
    const thick = Math.max(1, Math.round(k * (step === 5 ? 0.2 : 0.12)));
    const line = (mm) => Math.round(mm * k - thick / 2);
    for (let mm = 0; mm <= plan.width; mm += step) if (step === 5 || mm % 5) context.fillRect(line(mm), 0, thick, plan.height * k);
    for (let mm = 0; mm <= plan.height; mm += step) if (step === 5 || mm % 5) context.fillRect(0, line(mm), plan.width * k, thick);
  }
}

// A lead is drawn around its middle value: where zero is means nothing on paper, what lies between two points does.
const middles = new WeakMap();
export function middle(values) {
  if (!middles.has(values)) {
    const sorted = values.filter((value) => !Number.isNaN(value)).sort();
    middles.set(values, sorted.length ? sorted[sorted.length >> 1] : 0);
  }
  return middles.get(values);
}

// One cell as a path. Where more than four samples share a pixel column, only the first, the lowest, the highest and the
// last of them are drawn, in their order and at their own places: no spike is lost, and the picture is the same.
function trace(context, cell, wish, k) {
  const { values, rate, from, to } = cell;
  const begin = Math.max(0, Math.ceil(from * rate - 1e-6));
  const end = Math.min(values.length - 1, Math.floor(to * rate + 1e-6));
  const perSample = (wish.speed / rate) * k;
  const left = (cell.x - from * wish.speed) * k;
  const base = cell.y * k + (middle(values) / 1000) * wish.gain * k;
  const perMicrovolt = (wish.gain / 1000) * k;
  let pen = false;
  const point = (i) => {
    const y = base - values[i] * perMicrovolt;
    if (pen) context.lineTo(left + i * perSample, y);
    else context.moveTo(left + i * perSample, y);
    pen = true;
  };
  context.beginPath();
  for (let i = begin; i <= end;) {
    if (Number.isNaN(values[i])) { pen = false; i++; continue; }
    const column = Math.floor(left + i * perSample);
    let low = i;
    let high = i;
    let last = i;
    while (last + 1 <= end && !Number.isNaN(values[last + 1]) && Math.floor(left + (last + 1) * perSample) === column) {
      last++;
      if (values[last] < values[low]) low = last;
      if (values[last] > values[high]) high = last;
    }
    let before = -1;
    for (const at of [i, Math.min(low, high), Math.max(low, high), last]) {
      if (at !== before) point(at);
      before = at;
    }
    i = last + 1;
  }
  context.strokeStyle = INK[cell.source];
  context.stroke();
}

function pulse(context, y, wish, k) {
  context.beginPath();
  context.moveTo(1.5 * k, y * k);
  for (const [x, mv] of [[2.5, 0], [2.5, 1], [7.5, 1], [7.5, 0], [8.5, 0]]) context.lineTo(x * k, (y - mv * wish.gain) * k);
  context.strokeStyle = INK.now;
  context.stroke();
}

function text(context, words, x, y, k, { bold = false, colour = INK.now, size = NAME } = {}) {
  context.font = `${bold ? 700 : 400} ${size * k}px "Helvetica Neue", Arial, "Noto Sans SC", "Microsoft YaHei", sans-serif`;
  context.lineWidth = 0.8 * k;
  context.strokeStyle = PAPER;
  context.strokeText(words, x * k, y * k); // the grid does not run through the letters
  context.fillStyle = colour;
  context.fillText(words, x * k, y * k);
}

// Triangles where beats were computed, above the lowest line: what is computed is never drawn as part of a wave.
function marks(context, plan, wish, beats, k) {
  const lowest = Math.max(...plan.cells.map((cell) => cell.y));
  context.fillStyle = MARK;
  for (const cell of plan.cells.filter((one) => one.y === lowest)) {
    for (const at of beats) {
      if (at < cell.from || at > cell.to) continue;
      const x = cell.x + (at - cell.from) * wish.speed;
      context.beginPath();
      for (const [dx, dy] of [[-1.1, 0], [1.1, 0], [0, 1.9]]) context.lineTo((x + dx) * k, (cell.top + dy) * k);
      context.fill();
    }
  }
}

// `said`: { foot, heads: { now, earlier }, beats }.
export function waves(context, plan, wish, said, k) {
  context.lineJoin = "round";
  context.lineCap = "round";
  for (const cell of plan.cells) {
    if (!cell.named) continue;
    const y = Math.max(cell.top + NAME, cell.y - 7);
    text(context, cell.lead, cell.x + 1, y, k, { bold: true, colour: INK[cell.source] });
  }
  for (const head of plan.heads) text(context, said.heads[head.source], head.x + 1, 3.6, k, { colour: INK[head.source], size: 2.8 });
  text(context, said.foot, LEFT, plan.height - 1.6, k, { size: 2.9 });
  context.lineWidth = Math.max(1, LINE * k);
  for (const y of plan.pulses) pulse(context, y, wish, k);
  for (const cell of plan.cells) if (cell.parted && cell.source === "now") {
    context.beginPath(); // where one lead ends and the next begins
    context.moveTo(cell.x * k, (cell.y - 3) * k);
    context.lineTo(cell.x * k, (cell.y - 1.5) * k);
    context.moveTo(cell.x * k, (cell.y + 1.5) * k);
    context.lineTo(cell.x * k, (cell.y + 3) * k);
    context.strokeStyle = INK.now;
    context.stroke();
  }
  for (const cell of plan.cells) trace(context, cell, wish, k);
  if (plan.continuous) marks(context, plan, wish, said.beats, k);
}
