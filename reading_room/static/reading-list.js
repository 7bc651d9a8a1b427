// The readers' lists: columns are put in order with two buttons, and a long list grows when its end is reached.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-move]");
  if (!button) return;
  const item = button.closest("li");
  if (button.dataset.move === "up") item.previousElementSibling?.before(item);
  else item.nextElementSibling?.after(item);
  button.focus();
});

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) entry.target.click();
}, { rootMargin: "300px" });
const watch = () => {
  for (const more of document.querySelectorAll("a[data-more]")) seen.observe(more);
};
document.addEventListener("htmx:afterSettle", watch);
watch();
