// The state of the page is in its address, so that a link leads to what was seen.
const pageState = (() => {
  const read = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  const state = read();
  let waiting = false;
  // Once per event however many keys changed: browsers refuse addresses that change too often.
  const write = () => {
    if (!waiting) queueMicrotask(() => {
      waiting = false;
      const text = state.toString();
      history.replaceState(null, "", text ? `#${text}` : "#");
    });
    waiting = true;
  };
  return {
    get: (key) => state.get(key),
    set: (key, value) => {
      const wanted = value === "" ? null : value;
      if (state.get(key) === wanted) return; // a link to a part of the page keeps its anchor
      if (wanted === null) state.delete(key);
      else state.set(key, wanted);
      write();
    },
  };
})();
