// The manager's pages: printing, and how many cases are ticked.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) print();
});

const form = document.querySelector("#assign");
function tally() {
  const chosen = form.querySelectorAll("tbody input[type=checkbox]:checked").length;
  form.querySelector("#chosen").textContent = String(chosen);
  for (const button of form.querySelectorAll(".assign-bar button")) button.disabled = chosen === 0;
}
if (form) {
  form.addEventListener("change", () => queueMicrotask(tally));
  tally();
}

// Typing a date means that range.
const period = document.querySelector("#period");
period?.addEventListener("input", (event) => {
  if (event.target.type !== "date") return;
  period.elements.period.value = "own";
  for (const label of period.querySelectorAll(".own-range")) label.classList.remove("faint");
});
