// Two rows side by side: differences with intervals, computed from the seeds' values.
(() => {
  // 97.5 % quantile of Student's t with any degrees of freedom, null for infinitely many.
  function t(df) {
    if (df === null || df > 1e6) return 1.959963984540054;
    let [low, high] = [1.9, 13];
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (tail(middle, df) > 0.05) low = middle;
      else high = middle;
    }
    return low;
  }
  // P(|T| > x): the incomplete beta function of df / (df + x^2) by its continued fraction (Lentz).
  function tail(x, df) {
    const [a, b, at] = [df / 2, 0.5, df / (df + x * x)];
    const flip = at > (a + 1) / (a + b + 2);
    const [p, q, z] = flip ? [b, a, 1 - at] : [a, b, at];
    const front = Math.exp(lgamma(a + b) - lgamma(a) - lgamma(b) + p * Math.log(z) + q * Math.log(1 - z)) / p;
    let [c, d] = [1, 1 / (1 - ((p + q) * z) / (p + 1))];
    let result = d;
    for (let m = 1; m < 300; m++) {
      for (const term of [(m * (q - m) * z) / ((p + 2 * m - 1) * (p + 2 * m)), (-(p + m) * (p + q + m) * z) / ((p + 2 * m) * (p + 2 * m + 1))]) {
        d = 1 / (1 + term * d);
        c = 1 + term / c;
        result *= c * d;
      }
      if (Math.abs(c * d - 1) < 1e-12) break;
    }
    return flip ? 1 - front * result : front * result;
  }
  function lgamma(x) { // Stirling's series, from where it is exact enough
    let shift = 0;
    for (; x < 12; x++) shift -= Math.log(x);
    return shift + (x - 0.5) * Math.log(x) - x + 0.9189385332046727 + 1 / (12 * x) - 1 / (360 * x ** 3) + 1 / (1260 * x ** 5);
  }
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
      const spread = Math.max(...d) > Math.min(...d) ? variance(d) : 0;
      // Equal differences at every seed (a coarse metric) do not make the error zero.
      if (spread > 0) return { estimate, half: t(d.length - 1) * Math.sqrt(spread / d.length), how: `paired over ${d.length} seeds` };
    }
    if (one.se === null || two.se === null) return { estimate, half: null, how: "no standard error is known" };
    const error = Math.hypot(one.se, two.se);
    const seeds = one.basis === "seeds" && two.basis === "seeds";
    const count = (side) => Object.keys(side.seeds).length;
    const how = seeds ? `Welch over ${count(one)} and ${count(two)} seeds` : "sampling error only";
    if (error === 0) return { estimate, half: 0, how };
    const share = (side) => (side.df === null ? 0 : (side.se / error) ** 4 / side.df);
    const df = share(one) + share(two) > 0 ? 1 / (share(one) + share(two)) : null;
    return { estimate, half: t(df) * error, how };
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
        cell(row, Number.isFinite(d.half) ? `${format(d.estimate - d.half)} … ${format(d.estimate + d.half)}` : "—", "num");
        const clear = Number.isFinite(d.half) && Math.abs(d.estimate) > d.half;
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
