// The keyboard: lines of a list, the next case, search, and the help that names the keys. Single keys are left alone
// while somebody writes: in a field, in a menu, or while an input method composes.
const csrf = document.querySelector('meta[name="csrf"]').content;
const help = document.getElementById("keys");
const LISTS = { r: "/reading", v: "/review", o: "/orders" };
let began = ""; // a first key that waits for its second
let forget = 0;

const rows = () => [...document.querySelectorAll("table.lines tr[data-href]")].filter((row) => row.offsetParent);
const isWriting = (target) => target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);

// One line of a list is reached by Tab; the arrows go on from there.
function place(row, focus) {
  for (const other of document.querySelectorAll('tr[data-href][tabindex="0"]')) other.tabIndex = -1;
  row.tabIndex = 0;
  if (!focus) return;
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function ready() {
  const all = rows();
  for (const row of all) if (!row.hasAttribute("tabindex")) row.tabIndex = -1;
  if (all.length && !all.some((row) => row.tabIndex === 0)) place(all[0], false);
}

function go(step) {
  const all = rows();
  if (!all.length) return false;
  const at = all.indexOf(document.activeElement.closest?.("tr[data-href]"));
  const start = at < 0 ? all.findIndex((row) => row.tabIndex === 0) - Math.sign(step) : at;
  place(all[Math.min(Math.max(start + step, 0), all.length - 1)], true);
  return true;
}

function next() {
  const known = document.querySelector("form[data-next]")?.getAttribute("action");
  const list = sessionStorage.getItem("huren-list") ?? "/reading";
  const action = known ?? `${list.split("?")[0]}/next?${list.split("?")[1] ?? ""}`;
  if (!document.querySelector('header a[href="/reading"]')) return false;
  const form = document.createElement("form");
  form.method = "post";
  form.action = action;
  form.innerHTML = '<input type="hidden" name="csrf">';
  form.elements.csrf.value = csrf;
  document.body.append(form);
  form.submit();
  return true;
}

const keys = {
  j: () => go(1),
  k: () => go(-1),
  ArrowDown: () => document.activeElement.closest?.("tr[data-href]") && go(1),
  ArrowUp: () => document.activeElement.closest?.("tr[data-href]") && go(-1),
  Home: () => document.activeElement.closest?.("tr[data-href]") && go(-1e6),
  End: () => document.activeElement.closest?.("tr[data-href]") && go(1e6),
  o: open,
  Enter: open,
  n: next,
  "/": () => {
    const field = document.querySelector("main input[type=search]");
    field?.focus();
    field?.select();
    return Boolean(field);
  },
  "?": () => { help.showModal(); return true; },
};

function open() {
  const row = document.activeElement;
  if (!row.matches("tr[data-href]")) return false;
  location.href = row.dataset.href;
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229 || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.defaultPrevented || help.open) return;
  if (isWriting(event.target)) {
    if (event.key === "Escape" && event.target.type === "search") event.target.blur();
    return;
  }
  if (event.target.closest("details.more[open], dialog[open]")) return; // a closed dialog may keep the focus a moment
  clearTimeout(forget);
  if (began === "g") {
    began = "";
    const list = LISTS[event.key];
    if (list && document.querySelector(`header a[href="${list}"]`)) {
      event.preventDefault();
      location.href = list;
    }
    return;
  }
  if (event.key === "g") {
    began = "g";
    forget = setTimeout(() => { began = ""; }, 1500);
    return;
  }
  if (Object.hasOwn(keys, event.key) && keys[event.key]()) event.preventDefault();
});

// A list that was asked for again keeps the line one was on, or the one that took its place.
let before = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  const row = document.activeElement?.closest?.("tr[data-href]");
  before = row && event.detail.target.contains(row) ? { href: row.dataset.href, at: rows().indexOf(row) } : null;
});
document.addEventListener("htmx:afterSettle", () => {
  ready();
  if (!before) return;
  const all = rows();
  const row = all.find((r) => r.dataset.href === before.href) ?? all[Math.min(before.at, all.length - 1)];
  if (row) place(row, true);
  before = null;
});
document.addEventListener("focusin", (event) => {
  if (event.target.matches("tr[data-href]")) place(event.target, false);
});

// The list one comes from: the case page leads back to it as it was narrowed, and goes on within it.
if (document.querySelector("form[data-next]")) {
  const kept = new URL(location.href);
  kept.searchParams.delete("done");
  sessionStorage.setItem("huren-list", kept.pathname + kept.search);
}
for (const form of document.querySelectorAll("form.report")) {
  const list = document.createElement("input");
  list.type = "hidden";
  list.name = "list";
  list.value = (sessionStorage.getItem("huren-list") ?? "").split("?")[1] ?? "";
  form.append(list);
}
ready();
