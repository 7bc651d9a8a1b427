// Light or dark before anything is drawn: the person's choice, else as the computer is set. Loaded without `defer`, so
// that no page flashes; it is the only script that holds the page up.
(() => {
  const root = document.documentElement;
  // Paper is white.
  addEventListener("beforeprint", () => {
    root.dataset.shown = root.dataset.bsTheme ?? "";
    root.dataset.bsTheme = "light";
  });
  addEventListener("afterprint", () => { root.dataset.bsTheme = root.dataset.shown; });
  if (root.dataset.theme !== "auto") return;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => { root.dataset.bsTheme = dark.matches ? "dark" : "light"; };
  dark.addEventListener("change", follow);
  follow();
})();
