"use strict";
// What needs scripts is shown by scripts: without them nothing is there that does not work.
document.documentElement.classList.add("js");
for (const element of document.querySelectorAll(".js-only")) element.hidden = false;

(() => {
  const names = { auto: "Auto", light: "Light", dark: "Dark" };
  const button = document.getElementById("theme");
  let theme = "auto";
  try { theme = localStorage.getItem("genbench-theme") || "auto"; } catch { /* storage is off */ }
  const show = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = names[theme] || names.auto;
    button.setAttribute("aria-label", `Colour theme: ${button.textContent}`);
    document.dispatchEvent(new Event("themechange"));
  };
  button.addEventListener("click", () => {
    theme = { auto: "light", light: "dark", dark: "auto" }[theme] || "auto";
    try { localStorage.setItem("genbench-theme", theme); } catch { /* storage is off */ }
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();

  for (const copy of document.querySelectorAll("[data-copy]")) {
    copy.addEventListener("click", async () => {
      const code = copy.parentElement.querySelector("pre");
      try {
        await navigator.clipboard.writeText(code.textContent);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        copy.textContent = "Selected: press Ctrl+C";
      }
    });
  }

  // A link to something inside a closed details element opens it. What is drawn late above the target
  // moves it: it is followed until the reader takes over or all has settled.
  let follow = null;
  const release = () => {
    if (follow) follow.disconnect();
    follow = null;
  };
  const reveal = () => {
    release();
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    let settled = 0;
    follow = new ResizeObserver(() => {
      target.scrollIntoView({ behavior: "instant" });
      clearTimeout(settled);
      settled = setTimeout(release, 4000);
    });
    follow.observe(document.body);
  };
  for (const act of ["wheel", "touchstart", "pointerdown", "keydown"]) {
    addEventListener(act, release, { passive: true });
  }
  addEventListener("hashchange", reveal);
  if (location.hash && !location.hash.includes("=")) reveal();
})();
