// Columns of a results table: their groups open and close, and single ones are chosen.
function chooseColumns(task, table, key) {
  const REMEMBERED = "genbench-groups"; // by group, true if the reader opened it
  const heads = [...[...table.tHead.rows].at(-1).cells];
  const ids = heads.map((th) => (th.dataset.group ? th.dataset.col : null));
  const boxes = new Map([...task.querySelectorAll(".columns [data-id]")].map((box) => [box.dataset.id, box]));
  const groups = [...table.querySelectorAll(".groups [data-group]")].map((th) => {
    const members = heads.filter((head) => head.dataset.group === th.dataset.group).map((head) => head.dataset.col);
    const band = [...table.querySelectorAll("colgroup[data-group]")].find((one) => one.dataset.group === th.dataset.group);
    return { th, members, band, name: th.dataset.group };
  });
  const rest = groups.flatMap((group) => group.members.slice(1));
  const usual = () => new Set(table.classList.contains("few") ? rest : []);
  const isOpen = (group, closed) => group.members.every((id) => !closed.has(id));

  const remembered = () => {
    try {
      const found = JSON.parse(localStorage.getItem(REMEMBERED));
      return found !== null && typeof found === "object" ? found : {};
    } catch { return {}; } // storage is off, or holds something else
  };
  const remember = (choices) => {
    try {
      if (Object.keys(choices).length) localStorage.setItem(REMEMBERED, JSON.stringify(choices));
      else localStorage.removeItem(REMEMBERED);
    } catch { /* storage is off */ }
  };

  let hidden = usual();
  const turn = (group, open) => {
    group.members.forEach((id, at) => {
      if (open || at === 0) hidden.delete(id);
      else hidden.add(id);
    });
  };

  function show() {
    for (const row of table.rows) {
      if (row.matches(".group, .groups, .empty")) continue;
      ids.forEach((id, at) => {
        const off = hidden.has(id);
        if (row.cells[at].hidden !== off) row.cells[at].hidden = off;
      });
    }
    for (const [id, box] of boxes) box.checked = !hidden.has(id);
    for (const group of groups) {
      const shown = group.members.filter((id) => !hidden.has(id)).length;
      group.th.hidden = group.band.hidden = shown === 0;
      group.th.colSpan = group.band.span = shown || 1;
      if (!group.button) continue;
      const more = group.members.length - shown;
      group.button.setAttribute("aria-expanded", String(more === 0));
      group.count.textContent = more ? `+${more}` : "";
      group.hint.textContent = more ? `, ${more} more` : "";
    }
    const width = heads.length - hidden.size;
    for (const cell of table.querySelectorAll("tbody .group th, tbody .empty td")) cell.colSpan = width;
    table.classList.add("ready");
  }

  function changed() {
    const before = usual();
    const same = before.size === hidden.size && [...hidden].every((id) => before.has(id));
    pageState.set(key, same ? null : [...hidden].join(",") || "none");
    show();
  }

  for (const group of groups.filter((one) => one.members.length > 1)) {
    group.button = document.createElement("button");
    group.button.type = "button";
    group.button.append(...group.th.childNodes);
    group.count = document.createElement("span");
    group.count.className = "count";
    group.count.setAttribute("aria-hidden", "true");
    group.hint = document.createElement("span");
    group.hint.className = "sr";
    group.button.append(group.count, group.hint);
    group.th.append(group.button);
    group.button.addEventListener("click", () => {
      const open = !isOpen(group, hidden);
      turn(group, open);
      const choices = { ...remembered(), [group.name]: open };
      if (open === isOpen(group, usual())) delete choices[group.name]; // as it would be anyway
      remember(choices);
      changed();
    });
  }
  for (const [id, box] of boxes) {
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(id);
      else hidden.add(id);
      changed();
    });
  }
  for (const button of task.querySelectorAll(".columns [data-show]")) {
    button.addEventListener("click", () => {
      hidden = new Set(button.dataset.show === "all" ? [] : rest);
      changed();
    });
  }

  const given = pageState.get(key);
  if (given !== null) hidden = new Set(given.split(",").filter((id) => ids.includes(id)));
  else {
    const choices = remembered();
    for (const group of groups) if (typeof choices[group.name] === "boolean") turn(group, choices[group.name]);
  }
  show();
  return {
    reset: () => {
      remember({});
      hidden = usual();
      changed();
    },
  };
}
