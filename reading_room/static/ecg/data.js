// One recording from the server: microvolts for each lead, in memory once however often it is drawn.
const held = new Map();

// Samples to microvolts, (sample + zero) * step, as 64-bit floats; NaN where the device has none.
function leadOf(said, buffer, begin) {
  const raw = said.bits === 16 ? new Int16Array(buffer, begin + said.at, said.count) : new Int32Array(buffer, begin + said.at, said.count);
  const values = new Float64Array(said.count);
  for (let i = 0; i < said.count; i++) values[i] = (raw[i] + said.zero) * said.step;
  for (const [first, behind] of said.unknown) values.fill(NaN, first, behind);
  return { name: said.name, step: said.step, values };
}

function stripOf(said, buffer, begin) {
  return { rate: said.rate, leads: said.leads.map((lead) => leadOf(lead, buffer, begin)) };
}

export function decode(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const begin = 4 + size;
  return {
    ...head,
    rhythm: stripOf(head.rhythm, buffer, begin),
    beat: head.beat && stripOf(head.beat, buffer, begin),
  };
}

// Raises the server's words where it refuses.
export function load(id) {
  if (!held.has(id)) {
    held.set(id, fetch(`/api/instances/${id}/ecg`).then(async (answer) => {
      if (answer.ok) return decode(await answer.arrayBuffer());
      const body = await answer.json().catch(() => ({}));
      throw new Error(body.error?.message ?? String(answer.status));
    }).catch((error) => { held.delete(id); throw error; }));
  }
  return held.get(id);
}

export function lead(strip, name) {
  return strip?.leads.find((found) => found.name === name);
}

export function secondsOf(strip) {
  return Math.max(0, ...strip.leads.map((one) => one.values.length)) / strip.rate;
}
