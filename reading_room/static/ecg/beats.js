// Where the beats are, only to lay two recordings upon each other: nothing that is found here is shown as a number.
//
// The steepness of all leads together (the sum of the absolute slopes over 20 ms) is smoothed over 80 ms; a beat is where
// it is highest and above 0.4 of its own highest, at least 250 ms from the next. Its R is where the leads together
// are farthest from their middle value, within 60 ms of that.
const HIGH = 0.4;
const APART = 0.25; // seconds
const AROUND = 0.06;
const SMOOTH = 0.08;
const SLOPE = 0.02;

function middle(values) {
  const sorted = Float64Array.from(values.filter((value) => !Number.isNaN(value))).sort();
  return sorted.length ? sorted[sorted.length >> 1] : 0;
}

// Seconds from the beginning of the strip.
export function beats(strip) {
  const count = Math.min(...strip.leads.map((one) => one.values.length));
  const reach = Math.max(1, Math.round(SLOPE * strip.rate));
  const steep = new Float64Array(count);
  const far = new Float64Array(count);
  for (const { values } of strip.leads) {
    const zero = middle(values);
    for (let i = 0; i < count; i++) {
      if (i >= reach) steep[i] += Math.abs(values[i] - values[i - reach]) || 0;
      far[i] += Math.abs(values[i] - zero) || 0;
    }
  }
  const width = Math.max(1, Math.round(SMOOTH * strip.rate));
  const smooth = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count + (width >> 1); i++) {
    if (i < count) sum += steep[i];
    if (i >= width) sum -= steep[i - width];
    if (i >= width >> 1 && i - (width >> 1) < count) smooth[i - (width >> 1)] = sum;
  }
  const least = HIGH * smooth.reduce((most, value) => Math.max(most, value), 0);
  const found = [];
  for (let i = 1; i < count - 1; i++) {
    if (smooth[i] < least || smooth[i] < smooth[i - 1] || smooth[i] <= smooth[i + 1]) continue;
    const last = found[found.length - 1];
    if (last !== undefined && i - last < APART * strip.rate) {
      if (smooth[i] > smooth[last]) found[found.length - 1] = i;
    } else found.push(i);
  }
  const near = Math.round(AROUND * strip.rate);
  return found.map((at) => {
    let best = at;
    for (let i = Math.max(0, at - near); i < Math.min(count, at + near); i++) if (far[i] > far[best]) best = i;
    return best / strip.rate;
  });
}
