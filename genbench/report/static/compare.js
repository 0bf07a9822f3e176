// Two rows side by side: differences with intervals, computed from the seeds' values.
(() => {
  // 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom.
  const T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179,
    2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056,
    2.052, 2.048, 2.045, 2.042];
  const t = (df) => (df >= 31 ? 1.96 + 2.5 / df : T[Math.max(0, Math.floor(df) - 1)]);
  const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
  const variance = (v) => { const m = mean(v); return v.reduce((a, b) => a + (b - m) ** 2, 0) / (v.length - 1); };
  const format = (x) => {
    if (x === 0) return "0";
    const size = Math.abs(x);
    return size >= 1e-4 && size < 1e6 ? String(Number(x.toPrecision(4))) : x.toExponential(2);
  };

  function differ(a, b, one, two) {
    if (one.mean === null) return { reason: `${a.label}: ${one.reason}` };
    if (two.mean === null) return { reason: `${b.label}: ${two.reason}` };
    if (one.signature !== two.signature) return { reason: "measured differently: signatures or likelihood kinds differ" };
    const estimate = one.mean - two.mean;
    const shared = Object.keys(one.seeds).filter((s) => s in two.seeds);
    const paired = !a.control && !b.control && shared.length >= 2 &&
      shared.length === Object.keys(one.seeds).length && shared.length === Object.keys(two.seeds).length &&
      shared.every((s) => a.machines[s] !== undefined && a.machines[s] === b.machines[s]);
    if (paired) {
      const d = shared.map((s) => one.seeds[s] - two.seeds[s]);
      return { estimate, half: t(d.length - 1) * Math.sqrt(variance(d) / d.length), how: `paired over ${d.length} seeds` };
    }
    const [x, y] = [Object.values(one.seeds), Object.values(two.seeds)];
    if (!a.control && !b.control && x.length >= 2 && y.length >= 2) {
      const [p, q] = [variance(x) / x.length, variance(y) / y.length];
      const df = (p + q) ** 2 / (p ** 2 / (x.length - 1) + q ** 2 / (y.length - 1)) || 1;
      return { estimate, half: t(df) * Math.sqrt(p + q), how: `Welch over ${x.length} and ${y.length} seeds` };
    }
    if (one.se === null || two.se === null) return { estimate, half: null, how: "no standard error is known" };
    return { estimate, half: 1.96 * Math.hypot(one.se, two.se), how: "sampling error only" };
  }

  const cell = (row, text, className) => {
    const td = row.insertCell();
    td.textContent = text;
    if (className) td.className = className;
    return td;
  };

  function tableOf(headers, label) {
    const box = document.createElement("div");
    box.className = "scroll";
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", label);
    const table = document.createElement("table");
    table.className = "plain";
    const head = table.createTHead().insertRow();
    for (const [text, className] of headers) {
      const th = document.createElement("th");
      th.scope = "col";
      th.textContent = text;
      if (className) th.className = className;
      head.append(th);
    }
    box.append(table);
    return [box, table.createTBody()];
  }

  for (const section of document.querySelectorAll("section.compare")) {
    const data = JSON.parse(section.querySelector(".compare-data").textContent);
    const task = section.closest(".task").dataset.task;
    const [first, second] = section.querySelectorAll("select");
    const target = section.querySelector(".compared");
    for (const [key, select] of [["a", first], ["b", second]]) {
      const at = pageState.get(`${task}.${key}`);
      if (at !== null && data.rows[at]) select.value = at;
    }

    function show() {
      const [a, b] = [data.rows[first.value], data.rows[second.value]];
      if (!a || !b) return;
      const [box, body] = tableOf([["Metric"], ["A", "num"], ["B", "num"], ["A − B", "num"], ["95 % interval", "num"], ["Verdict"], ["How"]], "Differences");
      for (const column of data.columns) {
        const [one, two] = [a.values[column.id], b.values[column.id]];
        const row = body.insertRow();
        const th = document.createElement("th");
        th.scope = "row";
        th.textContent = column.title + (column.unit ? ` [${column.unit}]` : "");
        row.append(th);
        for (const value of [one, two]) cell(row, value.mean === null ? "—" : format(value.mean), "num");
        const d = differ(a, b, one, two);
        cell(row, d.reason ? "—" : format(d.estimate), "num");
        cell(row, d.half ? `${format(d.estimate - d.half)} … ${format(d.estimate + d.half)}` : "—", "num");
        const clear = d.half > 0 && Math.abs(d.estimate) > d.half;
        const good = column.up === null ? null : (d.estimate > 0) === column.up;
        const word = !clear ? (d.reason ? "not comparable" : "no clear difference") : good === null ? "differ" : good ? "A better" : "B better";
        cell(row, word, clear && good !== null ? (good ? "better" : "worse") : "quiet");
        cell(row, d.reason || d.how, "quiet wrap");
      }
      target.replaceChildren(box);
      const names = [...new Set([...Object.keys(a.params), ...Object.keys(b.params)])].sort();
      const differing = names.filter((n) => JSON.stringify(a.params[n]) !== JSON.stringify(b.params[n]));
      if (differing.length) {
        const title = document.createElement("h3");
        title.textContent = "Parameters that differ";
        const [other, lines] = tableOf([["Parameter"], ["A"], ["B"]], "Parameters that differ");
        for (const name of differing) {
          const row = lines.insertRow();
          cell(row, name);
          for (const side of [a, b]) cell(row, name in side.params ? JSON.stringify(side.params[name]) : "—", "wrap");
        }
        target.append(title, other);
      }
    }
    for (const [key, select] of [["a", first], ["b", second]]) {
      select.addEventListener("change", () => { pageState.set(`${task}.${key}`, select.value); show(); });
    }
    show();
  }
})();
