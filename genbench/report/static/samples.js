// Samples: choose whose are shown, enlarge one.
(() => {
  for (const section of document.querySelectorAll(".samples")) {
    const boxes = [...section.querySelectorAll("[data-pick]")];
    const show = () => {
      const on = new Set(boxes.filter((box) => box.checked).map((box) => box.dataset.pick));
      for (const card of section.querySelectorAll("[data-sample]")) card.hidden = !on.has(card.dataset.sample);
    };
    for (const box of boxes) box.addEventListener("change", show);
    show();
  }

  const links = [...document.querySelectorAll("a.zoom")];
  if (!links.length) return;
  const dialog = document.createElement("dialog");
  const form = document.createElement("form");
  form.method = "dialog";
  const title = document.createElement("span");
  const close = document.createElement("button");
  close.className = "button";
  close.textContent = "Close";
  const image = document.createElement("img");
  form.append(title, close);
  dialog.append(form, image);
  document.body.append(dialog);
  close.addEventListener("click", (event) => {
    event.preventDefault(); // form-action is forbidden by the page's policy
    dialog.close();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  for (const link of links) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const small = link.querySelector("img");
      image.src = small.src;
      image.alt = small.alt;
      title.textContent = small.alt;
      dialog.setAttribute("aria-label", small.alt);
      dialog.showModal();
    });
  }
})();
