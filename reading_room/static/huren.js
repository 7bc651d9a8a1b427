// What every page needs: polls that answer 304, the CSRF value on htmx's requests, menus that close, times that tick.
const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";

// A polled part of a page carries the mark of what it shows; the server answers 304 while that is still true.
document.addEventListener("htmx:configRequest", (event) => {
  const mark = event.detail.elt.dataset.mark;
  if (mark) event.detail.headers["If-None-Match"] = mark;
  if (event.detail.verb !== "get") event.detail.headers["X-CSRF-Token"] = csrf;
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const answered = event.detail.xhr.responseURL;
  // The session has ended: show the sign-in page as a page, not inside a list.
  if (answered && new URL(answered).pathname === "/sign-in") {
    event.detail.shouldSwap = false;
    location.reload();
    return;
  }
  // Somebody is typing in what would be replaced, or has a menu open in it: wait for the next turn.
  const target = event.detail.target;
  if (target.contains(document.activeElement) && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
    event.detail.shouldSwap = false;
  }
  if (target.querySelector("details.more[open], input[form]:checked")) event.detail.shouldSwap = false;
});

// A row is as wide a target as its link.
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.more[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
  const row = event.target.closest("tr[data-href]");
  if (row && !event.target.closest("a, button, input, label, summary, form") && !String(getSelection())) {
    location.href = row.dataset.href;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const open of document.querySelectorAll("details.more[open]")) open.open = false;
});
document.addEventListener("toggle", (event) => {
  if (event.target.matches?.("details.more[open]")) event.target.querySelector("textarea, input:not([type=hidden])")?.focus();
}, true);

// Filters apply as they are chosen.
document.addEventListener("change", (event) => {
  if (event.target.matches("form.filters select")) event.target.form.requestSubmit();
  // One box for all boxes of that name in its form.
  if (event.target.matches("input[data-all]")) {
    for (const box of event.target.form.elements) {
      if (box.type === "checkbox" && box.name === event.target.dataset.all) box.checked = event.target.checked;
    }
  }
});
// One press is one order: a form that is on its way cannot be sent again.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "1";
  setTimeout(() => delete form.dataset.sent, 4000);
});
// Enter in a menu's field presses that menu's own button, not the first one of the form around it.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.ctrlKey || !event.target.matches("details.more .panel input")) return;
  event.preventDefault();
  event.target.closest(".panel").querySelector("button")?.click();
});
