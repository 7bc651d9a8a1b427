// A list to search and choose from with the keyboard: phrases, critical results. Words come from the page.
const dialog = document.querySelector("dialog.palette");
let items = [];
let shown = [];
let at = 0;
let chosen = null;

const input = dialog?.querySelector("input");
const list = dialog?.querySelector("ul");

function draw() {
  const asked = input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const better = (item) => { // how it is called counts more than what it says
    const title = item.words.toLowerCase();
    if (item.key.toLowerCase() === asked[0]) return 0;
    return asked.every((word) => title.includes(word)) ? 1 : 2;
  };
  shown = items.filter((item) => asked.every((word) => item.search.includes(word)));
  if (asked.length) shown.sort((a, b) => better(a) - better(b));
  shown = shown.slice(0, 60);
  at = Math.min(at, Math.max(shown.length - 1, 0));
  list.replaceChildren(...shown.map((item, index) => {
    const row = document.createElement("li");
    row.id = `palette-${index}`;
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(index === at));
    const key = document.createElement("kbd");
    key.textContent = item.key;
    const words = document.createElement("span");
    words.textContent = item.words;
    const more = document.createElement("span");
    more.className = "muted small";
    more.textContent = item.more;
    row.append(key, words, more);
    row.addEventListener("click", () => take(index));
    return row;
  }));
  dialog.querySelector(".none").hidden = shown.length > 0;
  input.setAttribute("aria-activedescendant", shown.length ? `palette-${at}` : "");
  list.children[at]?.scrollIntoView({ block: "nearest" });
}

function take(index) {
  const item = shown[index];
  if (!item) return;
  dialog.close();
  chosen?.(item.value);
}

// `entries`: [{ key, words, more, value }]; `then(value)` is called once something was chosen.
export function choose(title, entries, then) {
  items = entries.map((entry) => ({ ...entry, search: `${entry.key} ${entry.words} ${entry.more}`.toLowerCase() }));
  chosen = then;
  at = 0;
  input.value = "";
  dialog.querySelector("h2").textContent = title;
  const before = document.activeElement;
  dialog.onclose = () => before?.focus();
  if (!dialog.open) dialog.showModal();
  draw();
  input.focus();
}

input?.addEventListener("input", () => { at = 0; draw(); });
dialog?.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229) return; // an input method is on: the keys are its own
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    at = Math.max(0, Math.min(shown.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)));
    draw();
  }
  if (event.key === "Enter") {
    event.preventDefault();
    event.stopPropagation();
    take(at);
  }
});
dialog?.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
