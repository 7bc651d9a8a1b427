// The dialog in which a person says how large this screen is.
import { CARD, CSS_MM, keep, pixels } from "./scale.js";

export function calibrating(section, changed) {
  const dialog = section.querySelector(".ecg-size");
  const slider = dialog.querySelector("input");
  const says = dialog.querySelector("[data-pixels]");
  const find = (selector) => dialog.querySelector(selector);

  function draw() {
    const css = Number(slider.value);
    find(".card-bar").style.width = `${css * CARD}px`;
    find(".ruler-bar").style.width = `${css * 100}px`;
    says.textContent = css.toFixed(3);
  }
  function end(css) {
    if (css !== undefined) keep(css);
    dialog.close();
    changed();
  }
  section.querySelector("[data-calibrate]").addEventListener("click", () => {
    slider.value = String(pixels());
    draw();
    dialog.showModal();
  });
  slider.addEventListener("input", draw);
  find("[data-keep-size]").addEventListener("click", () => end(Number(slider.value)));
  find("[data-forget-size]").addEventListener("click", () => { slider.value = String(CSS_MM); end(0); });
  find("[data-close-size]").addEventListener("click", () => end());
}
