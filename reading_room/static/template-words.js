// The words that a report template makes of its fields: the same rule as worklist/rules/templates.py, here so that it
// works while the link is away. A test holds the two together.
const EMPTY = "___";
const NAMED = /\{([^{}\n]+)\}/g;
const PART = /\[\[(.*?)\]\]/g;
const CHINESE = /[\u3400-\u9fff]/;
const SIDES = {
  true: { L: "左侧", R: "右侧", B: "双侧" },
  false: { L: "left", R: "right", B: "bilateral" },
};

function said(field, value, chinese) {
  if (Array.isArray(value)) return value.filter((entry) => entry.trim()).join(chinese ? "、" : ", ");
  const typed = (value ?? "").trim();
  if (!typed) return "";
  if (field.kind === "side") return SIDES[chinese][typed] ?? "";
  return field.kind === "number" ? typed + (field.unit ?? "") : typed;
}

// Each line of a part ("findings", "impression") of a template, empty where nothing is to say.
export function lines(template, part, values) {
  const chinese = CHINESE.test(template.findings + template.impression);
  const words = {};
  for (const field of template.fields) words[field.name] = said(field, values[field.name], chinese);
  return template[part].split("\n").map((line) => line
    .replace(PART, (_whole, inner) => ([...inner.matchAll(NAMED)].every(([, name]) => words[name]) ? inner : ""))
    .replace(NAMED, (_whole, name) => words[name] || EMPTY));
}

export function fill(template, part, values) {
  return lines(template, part, values).filter((line) => line.trim()).join("\n");
}

// `text` with the lines `before` as they read `now`: a line that somebody has changed by hand stays as it is.
// Answers [the text, how many lines were left alone].
export function renewed(text, before, now) {
  let kept = 0;
  const held = text.split("\n");
  let last = -1; // where the latest line of the template stands in the text
  for (let n = 0; n < before.length; n += 1) {
    const at = before[n].trim() ? held.indexOf(before[n]) : -1;
    if (before[n] === now[n]) {
      if (at >= 0) last = at;
    } else if (at >= 0) {
      if (now[n].trim()) { held[at] = now[n]; last = at; } else held.splice(at, 1);
    } else if (before[n].trim()) {
      kept += 1;
    } else {
      held.splice(last + 1, held.length === 1 && !held[0].trim() ? 1 : 0, now[n]);
      last += 1;
    }
  }
  return [held.join("\n"), kept];
}

export function usual(template) {
  const values = {};
  for (const field of template.fields) {
    if (field.usual) values[field.name] = field.kind === "choices" ? [field.usual] : field.usual;
  }
  return values;
}
