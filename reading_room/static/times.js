// Times that go on by themselves: how long there is until something is due, and since when somebody has a case.
// They go by the server's clock, since an old computer's own may be wrong.
const words = JSON.parse(document.querySelector('meta[name="spans"]').content);
const offset = Date.parse(document.querySelector('meta[name="clock"]').content) - Date.now();

function span(milliseconds) {
  const minutes = Math.floor(Math.abs(milliseconds) / 60000);
  if (minutes < 120) return words.min.replace("{count}", minutes);
  if (minutes < 48 * 60) return words.h.replace("{count}", Math.floor(minutes / 60));
  return words.days.replace("{count}", Math.floor(minutes / 1440));
}

export function tick() {
  const now = Date.now() + offset;
  for (const place of document.querySelectorAll("[data-due]")) {
    const left = Date.parse(place.dataset.due) - now;
    const text = (left < 0 ? words.over : words.left).replace("{span}", span(left));
    if (place.textContent !== text) place.textContent = text;
    place.parentElement.classList.toggle("late", left < 0);
    place.parentElement.classList.toggle("soon", left >= 0 && left < 15 * 60000);
  }
  for (const place of document.querySelectorAll("[data-since]")) {
    const text = span(now - Date.parse(place.dataset.since));
    if (place.textContent !== text) place.textContent = text;
  }
}

tick();
setInterval(tick, 30000);
document.addEventListener("htmx:afterSettle", tick);
