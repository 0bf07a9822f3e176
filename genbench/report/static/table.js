// Sorting and filtering the tables.
(() => {
  const keyOf = (cell) => {
    const raw = cell ? cell.dataset.v : "";
    if (raw === undefined || raw === "") return null;
    const value = Number(raw);
    return Number.isNaN(value) ? raw : value;
  };
  const compareKeys = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null); // missing is always last
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const headings = (table) => [...[...table.tHead.rows].at(-1).cells]; // above them stand groups

  function sortTable(table, index, sign) {
    for (const body of table.tBodies) {
      const keyed = [...body.rows]
        .filter((row) => !row.classList.contains("group") && !row.classList.contains("empty"))
        .map((row, at) => [keyOf(row.cells[index]), at, row]);
      keyed.sort((a, b) => compareKeys(a[0], b[0], sign) || a[1] - b[1]);
      body.append(...keyed.map((entry) => entry[2]));
    }
    headings(table).forEach((th, at) => {
      if (at === index) th.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else th.removeAttribute("aria-sort");
    });
  }

  function makeSortable(table, remember) {
    headings(table).forEach((th, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener("click", () => {
        const now = th.getAttribute("aria-sort");
        const first = th.dataset.better === "high" ? -1 : 1;
        const sign = now === null ? first : now === "ascending" ? -1 : 1;
        sortTable(table, index, sign);
        if (remember) remember(`${th.dataset.col}:${sign > 0 ? "asc" : "desc"}`);
      });
    });
  }

  for (const task of document.querySelectorAll(".task")) {
    const table = task.querySelector("table.results");
    const bar = task.querySelector(".toolbar");
    const name = (key) => `${task.dataset.task}.${key}`;
    const fields = [...bar.querySelectorAll("[data-filter]")];
    const rows = [...table.querySelectorAll("tbody tr[data-row]")];
    const columns = chooseColumns(task, table, name("hide"));
    const on = (field) => (field.type === "checkbox" ? (field.checked ? "1" : "0") : field.value);
    const initial = new Map(fields.map((field) => [field, on(field)]));

    const matches = (row, want) =>
      (!want.q || want.q.toLowerCase().split(/\s+/).every((w) => row.dataset.name.includes(w))) &&
      ["family", "likelihood", "provider", "status"].every((k) => !want[k] || row.dataset[k] === want[k]) &&
      (want.complete !== "1" || row.dataset.complete === "1");

    function apply() {
      const want = Object.fromEntries(fields.map((field) => [field.dataset.filter, on(field)]));
      let shown = 0;
      for (const body of table.tBodies) {
        const calibrates = body.classList.contains("controls");
        let here = 0;
        for (const row of body.rows) {
          if (!row.dataset.row) continue;
          row.hidden = !matches(row, want);
          here += !row.hidden;
        }
        body.hidden = (calibrates && want.controls !== "1") || (body.rows.length > 0 && here === 0);
        if (!body.hidden) shown += here;
      }
      const inside = [...bar.querySelectorAll(".filters [data-filter]")].filter((field) => on(field) !== initial.get(field));
      bar.querySelector(".active").textContent = inside.length ? ` (${inside.length})` : "";
      task.querySelector(".shown").textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
      for (const field of fields) {
        pageState.set(name(field.dataset.filter), on(field) === initial.get(field) ? null : on(field));
      }
    }

    for (const field of fields) {
      const value = pageState.get(name(field.dataset.filter));
      if (value === null) continue;
      if (field.type === "checkbox") field.checked = value === "1";
      else field.value = value;
      if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = "";
    }
    makeSortable(table, (value) => pageState.set(name("sort"), value));
    const [column, order] = (pageState.get(name("sort")) || "").split(":");
    const at = headings(table).findIndex((th) => th.dataset.col === column);
    if (at >= 0) sortTable(table, at, order === "desc" ? -1 : 1);
    for (const field of fields) field.addEventListener("input", apply);
    bar.querySelector("[data-reset]").addEventListener("click", () => {
      for (const [field, value] of initial) {
        if (field.type === "checkbox") field.checked = value === "1";
        else field.value = value;
      }
      columns.reset();
      apply();
    });
    apply();
  }
  for (const table of document.querySelectorAll("table.plain.sortable")) makeSortable(table, null);

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.drop[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.drop[open]")) menu.open = false;
  });
})();
