// The numbers of the report: typed by the reader, or taken from the device by a person's key. The form's hidden field
// holds them as JSON, in the order of the inputs; whose a number is, the server says from the recordings.
export class Measured {
  constructor(form) {
    this.place = form?.querySelector("[data-numbers]") ?? null;
    if (!this.place) return;
    this.field = form.elements.measurements;
    this.inputs = [...this.place.querySelectorAll("[data-number]")];
    this.method = this.place.querySelector("[data-method]");
    this.device = {};
    for (const input of [...this.inputs, this.method]) input.addEventListener("input", () => this.keep());
    this.field.addEventListener("change", () => this.show());
    this.show();
  }
  // What the recording that is shown says; marks those of the report that are the same.
  says(measurements) {
    if (!this.place) return;
    this.device = Object.fromEntries(Object.entries(measurements).map(([name, value]) => [name, String(Math.round(value))]));
    this.mark();
  }
  mark() {
    for (const input of this.inputs) {
      const same = input.value !== "" && input.value === this.device[input.dataset.number];
      input.classList.toggle("device", same);
      input.title = same ? this.place.dataset.device : "";
    }
  }
  show() {
    const held = JSON.parse(this.field.value || "[]");
    const found = Object.fromEntries(held.map((one) => [one.name, one]));
    for (const input of this.inputs) input.value = found[input.dataset.number]?.value ?? "";
    this.method.value = held.find((one) => one.method)?.method ?? "";
    this.mark();
  }
  keep() {
    const whole = this.inputs.filter((input) => /^-?\d{1,4}$/.test(input.value.trim()));
    const numbers = whole.map((input) => ({
      name: input.dataset.number, value: Number(input.value), method: input.dataset.number === "QTc interval" ? this.method.value : "",
    }));
    this.field.value = JSON.stringify(numbers);
    this.field.dispatchEvent(new Event("input", { bubbles: true }));
    this.mark();
  }
  // One number that a person took from elsewhere on the page, with its formula.
  put(name, value, method) {
    if (!this.place) return;
    this.inputs.find((input) => input.dataset.number === name).value = String(value);
    this.method.value = method;
    this.keep();
  }
  // The device's numbers into empty places; what a person wrote stays.
  take() {
    if (!this.place) return;
    for (const input of this.inputs) input.value ||= this.device[input.dataset.number] ?? "";
    this.keep();
  }
}
