// The compact form of a report template. Its values lie in the report's own hidden fields `template_id` and `values`,
// so that they are saved, kept in this browser and brought back like every other word of the report.
import { fill, lines, renewed, usual } from "./template-words.js";

const PARTS = ["findings", "impression"];

export class TemplateForm {
  constructor(form, words, say) {
    this.form = form;
    this.words = words; // of the page, for the controls
    this.say = say;
    this.place = form.querySelector(".template-fields");
    this.templates = new Map();
    this.before = null; // what undo brings back
    form.elements.values.addEventListener("change", () => this.draw()); // a colleague's, or this browser's, were taken
  }

  know(templates) {
    for (const template of templates) this.templates.set(template.id, template);
    this.draw();
  }

  get template() {
    return this.templates.get(this.form.elements.template_id.value);
  }

  get values() {
    try { return JSON.parse(this.form.elements.values.value || "{}"); } catch { return {}; }
  }

  // Begin with a template. Words that are there already stay above its own, unless they were made by a template or
  // `replace` says so.
  begin(template, { replace = false } = {}) {
    const old = this.template;
    const values = usual(template);
    this.remember();
    for (const part of PARTS) {
      const area = this.form.elements[part];
      const own = area.value.trim();
      const made = old && own === fill(old, part, this.values).trim();
      const text = fill(template, part, values);
      area.value = !own || made || replace ? text : [area.value.trimEnd(), text].filter(Boolean).join("\n");
    }
    this.keep(template.id, values);
    this.tell();
    this.draw();
    this.place.querySelector("select, input")?.focus();
  }

  leave() {
    this.remember();
    this.keep("", {});
    this.tell();
    this.draw();
  }

  set(name, value) {
    const template = this.template;
    const held = this.values;
    const now = { ...held, [name]: value };
    if (!value.length) delete now[name];
    let left = 0;
    for (const part of PARTS) {
      const area = this.form.elements[part];
      const [text, kept] = renewed(area.value, lines(template, part, held), lines(template, part, now));
      if (text !== area.value) area.value = text;
      left += kept;
    }
    this.keep(template.id, now);
    this.tell();
    this.say(left ? this.words.byHand : "");
  }

  remember() {
    const { findings, impression, template_id: id, values } = this.form.elements;
    this.before = [findings.value, impression.value, id.value, values.value];
    this.form.querySelector("[data-undo]").hidden = false;
  }

  undo() {
    if (!this.before) return;
    const { findings, impression, template_id: id, values } = this.form.elements;
    [findings.value, impression.value, id.value, values.value] = this.before;
    this.before = null;
    this.form.querySelector("[data-undo]").hidden = true;
    this.tell();
    this.draw();
  }

  keep(id, values) {
    this.form.elements.template_id.value = id;
    this.form.elements.values.value = JSON.stringify(values);
  }

  tell() {
    this.form.elements.values.dispatchEvent(new Event("input", { bubbles: true })); // the report saves itself on this
  }

  draw() {
    const template = this.template;
    const chooser = this.form.querySelector("[data-template]");
    chooser.value = template ? template.id : "";
    const fields = template ? template.fields : [];
    this.place.hidden = !fields.length;
    const values = this.values;
    this.place.replaceChildren(...fields.map((field, index) => this.control(field, values[field.name], index)));
  }

  control(field, value, index) {
    const english = document.documentElement.lang === "en";
    const label = document.createElement(field.kind === "choices" ? "fieldset" : "label");
    const caption = document.createElement(field.kind === "choices" ? "legend" : "span");
    caption.className = "caption";
    caption.textContent = (english && field.label_en) || field.label || field.name;
    label.append(caption);
    if (field.kind === "choices") {
      label.className = "several";
      const held = Array.isArray(value) ? value : [];
      for (const choice of field.choices) {
        const box = document.createElement("input");
        box.type = "checkbox";
        box.checked = held.includes(choice);
        box.addEventListener("change", () => {
          const boxes = [...label.querySelectorAll("input")];
          this.set(field.name, field.choices.filter((_choice, n) => boxes[n].checked));
        });
        const one = document.createElement("label");
        one.append(box, choice);
        label.append(one);
      }
      return label;
    }
    let control;
    if (field.kind === "choice" || field.kind === "side") {
      control = document.createElement("select");
      control.className = "form-select";
      const options = field.kind === "side" ? Object.entries(this.words.sides) : field.choices.map((c) => [c, c]);
      for (const [name, words] of [["", "—"], ...options]) control.append(new Option(words, name));
      if (value && !options.some(([name]) => name === value)) control.append(new Option(value, value));
      control.value = value ?? "";
      control.addEventListener("change", () => this.set(field.name, control.value));
    } else {
      control = document.createElement("input");
      control.className = "form-control";
      control.maxLength = 2000;
      control.autocomplete = "off";
      control.value = value ?? "";
      if (field.kind === "number") {
        control.inputMode = "decimal";
        control.placeholder = field.least !== undefined && field.most !== undefined ? `${field.least}–${field.most}` : "";
        control.classList.add("number");
      }
      const doubt = () => {
        const number = Number(control.value);
        control.classList.toggle("doubt", field.kind === "number" && control.value !== "" && (Number.isNaN(number)
          || (field.least !== undefined && number < field.least) || (field.most !== undefined && number > field.most)));
      };
      control.addEventListener("input", (event) => {
        if (event.isComposing) return;
        doubt();
        this.set(field.name, control.value);
      });
      control.addEventListener("compositionend", () => this.set(field.name, control.value));
      doubt();
    }
    control.dataset.field = field.name;
    control.id = `template-field-${index}`;
    label.append(control);
    if (field.kind === "number" && field.unit) {
      const unit = document.createElement("span");
      unit.className = "muted small";
      unit.textContent = field.unit;
      label.append(unit);
    }
    return label;
  }
}
