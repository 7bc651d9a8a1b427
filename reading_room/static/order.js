// A new order by keyboard or scanner. Without this module the form works as it stands: its own fields and lists.
import { listed } from "./choosing.js";

const form = document.getElementById("order-form");
const field = (name) => form.elements[name];

form.classList.add("scripted");

// Enter goes on to the next field and never sends the form: a scanner ends every line with it. Ctrl+Enter sends.
form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
  if (event.ctrlKey) {
    event.preventDefault();
    form.requestSubmit();
    return;
  }
  if (!event.target.matches("input, select") || event.defaultPrevented) return;
  event.preventDefault();
  next(event.target);
});

function next(from) {
  const open = [...form.elements].filter((e) => e.matches("input:not([type=hidden]), select, textarea, button")
    && !e.disabled && e.tabIndex >= 0 && e.offsetParent !== null);
  const after = open.slice(open.indexOf(from) + 1);
  // Buttons to press beside a field, and the other choices of one question, are no fields to go on to.
  after.find((e) => e.type !== "button" && !(e.type === "radio" && (e.name === from.name || !e.checked)))?.focus();
}

// Another number is another patient: the question about the first one's record is answered by that.
field("identifier")?.addEventListener("input", () => {
  const asked = document.getElementById("contradicted");
  if (!asked) return;
  for (const choice of asked.querySelectorAll("[name=record]")) choice.checked = false;
  asked.hidden = true;
});

// --- Procedure: one field for code, pinyin initials or words ----------------------------------------------------

const select = field("procedure");
const words = document.createElement("input");
words.id = "procedure-words";
words.className = "form-control";
words.autocomplete = "off";
words.placeholder = select.dataset.placeholder;
words.value = select.value ? select.selectedOptions[0].text : "";
words.required = true;
document.getElementById("procedure-label").htmlFor = words.id;
const found = document.createElement("ul");
found.id = "procedure-list";
found.className = "choices-list";
found.setAttribute("aria-labelledby", "procedure-label");
select.after(words, found);
select.hidden = true;
select.required = false;
const options = [...select.querySelectorAll("option[data-find]")];

function fitting(text) {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = options.filter((o) => wanted.every((w) => o.dataset.find.includes(w)));
  const starts = (o) => o.dataset.find.split(" ").some((w) => w.startsWith(wanted[0] ?? ""));
  return fits.sort((a, b) => starts(b) - starts(a)).sort((a, b) => a.parentNode.label.localeCompare(b.parentNode.label));
}

const procedures = listed(words, found, {
  none: form.dataset.none,
  look: async (text) => fitting(select.value && text === select.selectedOptions[0].text ? "" : text).map((o) => ({
    group: o.parentNode.label, parts: [o.text], value: o,
  })),
  // One with exactly this code, or the only one that fits; of several a person chooses.
  best: (items, text) => (items.length === 1 ? 0 : items.findIndex((i) => i.value.value.toLowerCase() === text.toLowerCase())),
  take(item) {
    select.value = item.value.value;
    words.value = item.value.text;
    words.setCustomValidity("");
    look();
    (form.querySelector("input[name=priority]:checked") ?? field("clinical_information")).focus();
  },
  changed() {
    select.value = "";
    words.setCustomValidity(select.dataset.placeholder);
    look();
  },
});
if (!select.value) words.setCustomValidity(select.dataset.placeholder);
words.addEventListener("focus", () => procedures.open());

// --- Existing results: asked for as soon as it is known who and what --------------------------------------------

const offers = document.getElementById("recognition");
let looked = 0;

async function look() {
  const mine = ++looked;
  const said = new URLSearchParams({
    patient: field("patient")?.value ?? "", procedure: select.value, laterality: field("laterality").value,
  });
  if (!said.get("patient") || !said.get("procedure")) {
    offers.replaceChildren();
    return;
  }
  try {
    const answer = await fetch(`${offers.dataset.address}?${said}`, { credentials: "same-origin" });
    const part = answer.ok ? await answer.text() : "";
    if (mine === looked) offers.innerHTML = part;
  } catch { /* the server asks again before it orders */ }
}

field("laterality").addEventListener("change", look);
if (!offers.children.length) look();

// --- Patient: found by what is typed or scanned, else described -------------------------------------------------

const who = field("who");
if (who) {
  const said = document.getElementById("who-said");
  const calm = said.textContent;
  const person = ["name", "sex", "birth_date", "identifier", "document", "phone"].map(field);
  const day = (da) => (da.length === 8 ? `${da.slice(0, 4)}-${da.slice(4, 6)}-${da.slice(6)}` : "");
  const sexes = { M: form.dataset.male, F: form.dataset.female, O: form.dataset.other };
  let derived = {};
  document.getElementById("who-box").hidden = false;

  const ask = async (text) => {
    const answer = await fetch(`/api/registration?q=${encodeURIComponent(text)}`, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  };

  function describe(met, text) {
    unchoose();
    if (met.document) {
      field("kind").value = met.document.kind;
      field("document").value = met.document.number;
      derive(met);
    } else if (/\d/.test(text)) field("identifier").value = text;
    else field("name").value = text;
    (field("name").value ? field("sex") : field("name")).focus();
  }

  // What the card says goes into fields that are empty or hold what the last card said; a person sees and may change it.
  function derive(met) {
    const flaw = met.document?.flaw ?? "";
    document.getElementById("flaw-words").textContent = flaw ? JSON.parse(form.dataset.flaws)[flaw] : "";
    document.getElementById("stands").hidden = !flaw;
    const says = met.document && met.document.kind !== "MNI"
      ? { sex: met.document.sex, birth_date: day(met.document.birth_date) } : {};
    for (const name of ["sex", "birth_date"]) {
      const box = field(name);
      if (!box.value || box.value === derived[name]) box.value = says[name] ?? "";
    }
    derived = says;
  }

  function choose(patient) {
    field("document").value = "";
    derived = {};
    derive({});
    field("patient").value = patient.id;
    field("name").value = patient.name || patient.name_alphabetic;
    field("sex").value = patient.sex;
    field("birth_date").value = day(patient.birth_date);
    field("identifier").value = patient.number;
    for (const box of person) box.readOnly = true;
    for (const box of [field("sex"), field("kind")]) box.disabled = true;
    document.getElementById("person").hidden = true;
    document.getElementById("chosen-words").textContent =
      [patient.name, sexes[patient.sex], day(patient.birth_date), patient.number].filter(Boolean).join(" · ");
    document.getElementById("chosen").hidden = false;
    look();
    words.focus();
  }

  function unchoose() {
    if (!field("patient").value) return;
    field("patient").value = "";
    for (const box of person) { box.readOnly = false; box.value = ""; }
    for (const box of [field("sex"), field("kind")]) box.disabled = false;
    document.getElementById("person").hidden = false;
    document.getElementById("chosen").hidden = true;
    look();
  }

  listed(who, document.getElementById("who-list"), {
    none: "",
    wait: 150,
    async look(text) {
      if (text.trim().length < 2) { said.textContent = calm; return []; }
      let met;
      try {
        met = await ask(text.trim());
      } catch {
        said.textContent = form.dataset.failed;
        return [];
      }
      const flaw = met.document?.flaw;
      said.className = flaw ? "hint late" : "hint";
      said.textContent = flaw ? JSON.parse(form.dataset.flaws)[flaw]
        : met.patients.length ? form.dataset.candidates.replace("{count}", met.patients.length) + (met.more ? ` ${form.dataset.more}` : "")
          : calm;
      const items = met.patients.map((p) => ({
        parts: [p.name || p.name_alphabetic, sexes[p.sex], day(p.birth_date), p.number, p.is_alias && form.dataset.alias],
        value: p, sure: p.by_document || p.number === text.trim(),
      }));
      items.push({ parts: [form.dataset.new, text.trim()], value: met, isNew: true });
      return items;
    },
    // One who has exactly this number is marked; of several, or by a name, a person chooses.
    best: (items) => (items.filter((i) => i.sure).length === 1 ? items.findIndex((i) => i.sure) : items.length === 1 ? 0 : -1),
    take(item, text) {
      if (item.isNew) describe(item.value, text.trim());
      else choose(item.value);
    },
    changed: () => {},
  });

  document.getElementById("unchoose").addEventListener("click", () => { unchoose(); who.focus(); who.select(); });
  // A document typed into its own field is read in place, too.
  for (const name of ["document", "kind"]) {
    field(name).addEventListener("change", async () => {
      const text = field("document").value.trim();
      try {
        derive(text ? await ask(text).then((met) => (met.document && ["NI", "RP", "PRC", "MNI"].includes(field("kind").value)
          ? { document: { ...met.document, kind: field("kind").value } } : {})) : {});
      } catch { /* the server reads it again when the form is sent */ }
    });
  }
  if (field("patient").value) {
    for (const box of person) box.readOnly = true;
    document.getElementById("person").hidden = true;
  }
  form.addEventListener("submit", () => { for (const box of [field("sex"), field("kind")]) box.disabled = false; });
  if (!document.querySelector("[role=alert]")) who.focus();
} else words.focus();
