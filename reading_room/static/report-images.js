// Choosing images for the illustrated report: the order of pressing is the order of printing.
const form = document.querySelector("form.report-images");

function start() {
  const field = form.elements.images;
  const most = Number(form.dataset.most);
  const count = form.querySelector(".chosen-count");
  const buttons = [...form.querySelectorAll("[data-image]")];
  const chosen = () => field.value.split(",").filter(Boolean);
  function set(entries) {
    field.value = entries.join(",");
    draw();
  }
  function draw() {
    const now = chosen();
    for (const button of buttons) {
      const at = now.indexOf(button.dataset.image);
      button.setAttribute("aria-pressed", String(at >= 0));
      button.querySelector(".place").textContent = at < 0 ? "" : String(at + 1);
      button.disabled = at < 0 && now.length >= most;
    }
    count.textContent = count.dataset.words.replace("{count}", now.length).replace("{most}", most);
  }
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const now = chosen(), entry = button.dataset.image;
      set(now.includes(entry) ? now.filter((other) => other !== entry) : [...now, entry]);
    });
  }
  form.querySelector("[data-none]").addEventListener("click", () => set([]));
  draw();
}

if (form) start();
