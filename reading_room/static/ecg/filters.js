// Filters for looking. They make new samples for the picture; the recording is never changed.
//
// Each is a second-order section run forwards and then backwards, so that nothing is shifted in time (zero phase). High
// and low pass are Butterworth by the bilinear transform. Two passes of one would have -6 dB at its corner, so the corner
// is moved until both together have -3 dB at the frequency that is named: by (sqrt(2) - 1) ^ (1/4) for order two. The
// notch has a width of 50 Hz / 25. The ends are continued by their mirror image through the last sample, and the section
// begins as if that had gone on before, so that a recording does not begin with a swing.
const MOVED = (Math.SQRT2 - 1) ** 0.25;
const QUALITY = 25;

export const HIGH = [0.05, 0.5]; // Hz
export const LOW = [35, 40, 100];
export const NOTCH = [50];

// [b0, b1, b2, a1, a2], with a0 = 1.
export function highPass(hertz, rate) {
  const k = Math.tan((Math.PI * hertz) / rate) * MOVED;
  const n = 1 / (1 + Math.SQRT2 * k + k * k);
  return [n, -2 * n, n, 2 * (k * k - 1) * n, (1 - Math.SQRT2 * k + k * k) * n];
}

export function lowPass(hertz, rate) {
  const k = Math.tan((Math.PI * hertz) / rate) / MOVED;
  const n = 1 / (1 + Math.SQRT2 * k + k * k);
  return [k * k * n, 2 * k * k * n, k * k * n, 2 * (k * k - 1) * n, (1 - Math.SQRT2 * k + k * k) * n];
}

export function notch(hertz, rate) {
  const w = (2 * Math.PI * hertz) / rate;
  const alpha = Math.sin(w) / (2 * QUALITY);
  const n = 1 / (1 + alpha);
  return [n, -2 * Math.cos(w) * n, n, -2 * Math.cos(w) * n, (1 - alpha) * n];
}

// One pass, in place, beginning as if the first value had always been there (direct form II transposed).
function pass([b0, b1, b2, a1, a2], values) {
  const gain = (b0 + b1 + b2) / (1 + a1 + a2);
  let z2 = (b2 - a2 * gain) * values[0];
  let z1 = (b1 - a1 * gain) * values[0] + z2;
  for (let i = 0; i < values.length; i++) {
    const x = values[i];
    const y = b0 * x + z1;
    z1 = b1 * x - a1 * y + z2;
    z2 = b2 * x - a2 * y;
    values[i] = y;
  }
}

export function zeroPhase(section, values) {
  const count = values.length;
  const more = count - 1;
  const long = new Float64Array(count + 2 * more);
  for (let i = 0; i < more; i++) {
    long[i] = 2 * values[0] - values[more - i];
    long[count + more + i] = 2 * values[count - 1] - values[count - 2 - i];
  }
  long.set(values, more);
  pass(section, long);
  long.reverse();
  pass(section, long);
  long.reverse();
  return long.slice(more, more + count);
}

// What is missing is bridged by a straight line while filtering, and is missing again afterwards.
function bridged(values) {
  const whole = Float64Array.from(values);
  let last = -1;
  for (let i = 0; i <= whole.length; i++) {
    if (i < whole.length && Number.isNaN(whole[i])) continue;
    const before = last < 0 ? (i < whole.length ? whole[i] : 0) : whole[last];
    const after = i < whole.length ? whole[i] : before;
    for (let gap = last + 1; gap < i; gap++) whole[gap] = before + ((after - before) * (gap - last)) / (i - last);
    last = i;
  }
  return whole;
}

// `chosen` is { high, low, notch } in Hz, 0 for none. Frequencies that the recording cannot hold are left out.
export function filtered(values, rate, chosen) {
  const sections = [];
  if (chosen.high) sections.push(highPass(chosen.high, rate));
  if (chosen.low && chosen.low < rate / 2.2) sections.push(lowPass(chosen.low, rate));
  if (chosen.notch && chosen.notch < rate / 2.2) sections.push(notch(chosen.notch, rate));
  if (!sections.length || values.length < 3) return values;
  let made = bridged(values);
  for (const section of sections) made = zeroPhase(section, made);
  for (let i = 0; i < made.length; i++) if (Number.isNaN(values[i])) made[i] = NaN;
  return made;
}

export const isOn = (chosen) => Boolean(chosen.high || chosen.low || chosen.notch);
