// A PDF dropped anywhere on the page is put into the form and sent. Without this script the form works as it is.
const form = document.querySelector("#with-file");
const field = form.querySelector("#file");
const drop = form.querySelector("#drop");

for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
addEventListener("dragover", () => drop.classList.add("over"));
for (const kind of ["dragleave", "drop"]) addEventListener(kind, () => drop.classList.remove("over"));
addEventListener("drop", (event) => {
  const [file] = event.dataTransfer.files;
  if (!file) return;
  const chosen = new DataTransfer();
  chosen.items.add(file);
  field.files = chosen.files;
  form.requestSubmit();
});
