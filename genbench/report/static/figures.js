// Plotly figures: drawn when they come into view, in the colours of the page.
(() => {
  if (typeof Plotly === "undefined") return;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const isAxis = (key) => /^[xy]axis\d*$/.test(key);

  function themed(layout) {
    const ink = css("--ink");
    const grid = css("--grid");
    const result = {
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", size: 12.5, color: ink },
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: ink } },
      dragmode: false,
    };
    for (const key of new Set([...Object.keys(layout).filter(isAxis), "xaxis", "yaxis"])) {
      result[key] = { ...layout[key], gridcolor: grid, linecolor: css("--line"), tickcolor: css("--line") };
    }
    return result;
  }

  const config = { displaylogo: false, displayModeBar: false, responsive: true, scrollZoom: false };

  for (const figure of document.querySelectorAll("[data-figure]")) {
    const canvas = figure.querySelector(".canvas");
    canvas.style.minHeight = `${canvas.dataset.height}px`; // what stands below must not jump when it is drawn
    const choices = [...figure.querySelectorAll("[data-choice]")];
    const finding = figure.querySelector(".finding");
    let body = null;
    let drawn = false;

    const key = () => choices.map((c) => c.value).join("|") || "all";
    const draw = () => {
      body = body || JSON.parse(figure.querySelector(".specs").textContent);
      const spec = body.specs[key()];
      finding.textContent = spec ? body.findings[key()] || "" : "No generator has both of these.";
      if (!spec) {
        Plotly.purge(canvas);
        return;
      }
      drawn = true;
      canvas.style.minHeight = "";
      Plotly.react(canvas, structuredClone(spec.data), themed(structuredClone(spec.layout)), config);
      figure.dataset.drawn = key();
    };
    for (const choice of choices) choice.addEventListener("change", draw);
    document.addEventListener("themechange", () => drawn && draw());
    new IntersectionObserver((seen, watcher) => {
      if (!seen.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      draw();
    }, { rootMargin: "600px" }).observe(canvas);
    addEventListener("beforeprint", () => drawn || draw());

    const filename = () => [figure.id, ...choices.map((c) => c.value)].join("-").replace(/[^\w.-]+/g, "-");
    for (const button of figure.querySelectorAll("[data-save]")) {
      button.addEventListener("click", () => {
        if (button.dataset.save === "csv") saveCsv(figure, filename());
        else Plotly.downloadImage(canvas, { format: button.dataset.save, filename: filename(), width: 1000, height: canvas.offsetHeight, scale: 2 });
      });
    }
  }

  function saveCsv(figure, filename) {
    const quote = (text) => {
      const safe = /^[=+@\t\r]|^-[^\d]/.test(text) ? `'${text}` : text;
      return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const rows = [...figure.querySelectorAll(".tools table tr")];
    const text = rows.map((r) => [...r.cells].map((c) => quote(c.textContent)).join(",")).join("\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }));
    link.download = `${filename}.csv`;
    link.click();
    URL.revokeObjectURL(link.href);
  }
})();
