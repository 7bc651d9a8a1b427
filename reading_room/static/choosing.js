// A field with a list below it, chosen from by keyboard (ARIA combobox). Safe for input methods: nothing happens while
// characters are composed. An Enter that comes before the list (a scanner's) waits for it.

/**
 * @param input the field
 * @param list an empty <ul> that belongs to it
 * @param how look(text): items of {group?, parts, value}; best(items, text): the index to mark, or -1;
 *            take(item, text); changed(): the text is no longer what was taken; none: words; wait: milliseconds
 */
export function listed(input, list, how) {
  let items = [];
  let at = -1;
  let asked = 0;
  let timer = 0;
  let hasEntered = false;
  let shownFor = null;

  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-expanded", "false");
  list.setAttribute("role", "listbox");
  list.hidden = true;

  function mark(index) {
    at = index;
    const options = list.querySelectorAll("[role=option]");
    options.forEach((o, i) => o.setAttribute("aria-selected", String(i === at)));
    if (at >= 0) {
      input.setAttribute("aria-activedescendant", options[at].id);
      options[at].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function draw() {
    list.replaceChildren();
    let group = null;
    items.forEach((item, index) => {
      if (item.group !== undefined && item.group !== group) {
        group = item.group;
        const head = document.createElement("li");
        head.className = "group";
        head.setAttribute("role", "presentation");
        head.textContent = group;
        list.append(head);
      }
      const option = document.createElement("li");
      option.id = `${list.id}-${index}`;
      option.setAttribute("role", "option");
      for (const part of item.parts.filter(Boolean)) {
        const span = document.createElement("span");
        span.textContent = part;
        option.append(span);
      }
      option.addEventListener("mousedown", (event) => event.preventDefault());
      option.addEventListener("click", () => take(index));
      list.append(option);
    });
    if (!items.length && how.none) {
      const none = document.createElement("li");
      none.setAttribute("role", "presentation");
      none.textContent = how.none;
      list.append(none);
    }
    list.hidden = !list.childElementCount;
    input.setAttribute("aria-expanded", String(!list.hidden));
  }

  function take(index) {
    const item = items[index];
    const text = input.value;
    hasEntered = false;
    close();
    how.take(item, text);
    shownFor = input.value;
  }

  async function look() {
    clearTimeout(timer);
    const mine = ++asked;
    const text = input.value;
    const answer = await how.look(text);
    if (mine !== asked) return;
    items = answer;
    shownFor = text;
    if (document.activeElement !== input) return;
    draw();
    const best = how.best(items, text.trim());
    mark(best);
    if (hasEntered) {
      hasEntered = false;
      if (best >= 0) take(best);
    }
  }

  input.addEventListener("input", (event) => {
    if (event.isComposing) return;
    hasEntered = false;
    how.changed();
    clearTimeout(timer);
    asked += 1;
    timer = setTimeout(look, how.wait ?? 0);
  });
  input.addEventListener("compositionend", () => {
    how.changed();
    asked += 1;
    clearTimeout(timer);
    timer = setTimeout(look, how.wait ?? 0);
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      event.stopPropagation();
      if (list.hidden) look();
      else if (items.length) {
        const step = event.key === "ArrowDown" ? 1 : -1;
        mark(at < 0 ? (step > 0 ? 0 : items.length - 1) : (at + step + items.length) % items.length);
      }
    } else if (event.key === "Enter" && !event.ctrlKey) {
      if (!input.value.trim()) return;
      if (shownFor !== input.value) {
        event.preventDefault();
        hasEntered = true;
        look();
      } else if (!list.hidden) {
        event.preventDefault();
        if (at >= 0) take(at);
      }
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
  });
  input.addEventListener("blur", close);
  return { open: () => look() };
}
