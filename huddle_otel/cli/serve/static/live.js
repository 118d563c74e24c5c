// The live page. It asks small JSON questions, each at its own pace, and writes every answer as text, never as markup.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const SECONDS = { now: 2, calls: 3, window: 10, month: 30 };
  const page = { paused: false, waiting: true, below: null, turns: {}, shown: {}, troubles: {} };

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  // --- asking --------------------------------------------------------------------------------------------------------

  async function ask(path, query = {}) {
    const answer = await fetch(`/api/${path}?${new URLSearchParams(query)}`);
    if (answer.status === 401) throw new Error("The token is needed again: load this page anew.");
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error);
    return told;
  }

  // Told to those who listen only when it changes.
  function tell(id, text) {
    if ($(id).textContent !== text) $(id).textContent = text;
  }

  function trouble(name, text) {
    page.troubles[name] = text;
    const first = Object.values(page.troubles).find((each) => each) ?? "";
    $("notice").hidden = first === "";
    tell("notice", first);
  }

  async function refresh(name) {
    const turn = (page.turns[name] = (page.turns[name] ?? 0) + 1);
    try {
      const told = await ask(...questions[name]());
      if (turn !== page.turns[name]) return; // a newer question is under way, or answered
      const text = JSON.stringify(told);
      if (name === "now" || text !== page.shown[name]) shows[name](told); // else leave what a reader may be selecting alone
      page.shown[name] = text;
      if (!page.waiting) trouble(name, "");
    } catch (error) {
      const lost = error instanceof TypeError;
      trouble(name, lost ? "No answer from huddle-otel serve. This page goes on when it is back." : error.message);
    }
  }

  const questions = {
    now: () => ["now"],
    month: () => ["month"],
    window: () => ["window", { window: $("window").value }],
    calls: () => ["calls", {
      q: $("words").value.trim(),
      outcome: $("outcome").value,
      ...(page.below === null ? {} : { below: page.below }),
    }],
  };

  function poll(name) {
    async function again() {
      if (!page.paused && !document.hidden && (name === "now" || !page.waiting)) await refresh(name);
      window.setTimeout(again, SECONDS[name] * 1000);
    }
    again();
  }

  // --- showing -------------------------------------------------------------------------------------------------------

  function showTiles(list, tiles) {
    list.replaceChildren(...tiles.map((tile) => make(
      "div", {},
      make("dt", {}, tile.name),
      make("dd", { class: `value tone-${tile.tone}` }, tile.value),
      make("dd", { class: "note" }, tile.note),
    )));
  }

  function table(part, cells = (row) => row.map((cell) => make("bdi", {}, cell))) {
    const side = (at) => (at < part.left ? {} : { class: "n" });
    const headings = part.headings.map((heading, at) => make("th", { scope: "col", ...side(at) }, heading));
    const rows = part.rows.map((row) => make("tr", {}, ...cells(row).map((cell, at) => make("td", side(at), cell))));
    return make(
      "div", { class: "scroll", tabindex: "0", role: "region", "aria-label": part.title },
      make(
        "table", {},
        make("caption", {}, part.title), make("thead", {}, make("tr", {}, ...headings)), make("tbody", {}, ...rows),
      ),
    );
  }

  const figures = new Map();
  const answers = { window: [], month: [] };

  function figure(title) {
    const parts = {
      note: make("span"),
      canvas: make("canvas", { role: "img" }),
      details: make("details", {}, make("summary", {}, "Figures"), make("div")),
    };
    parts.whole = make(
      "figure", {},
      make("figcaption", {}, make("strong", {}, title), parts.note),
      make("div", { class: "canvas" }, parts.canvas),
      parts.details,
    );
    return parts;
  }

  function showCharts(kind, charts) {
    answers[kind] = charts;
    const all = [...answers.window, ...answers.month];
    for (const [title, parts] of figures) {
      if (all.some((chart) => chart.title === title)) continue;
      parts.whole.remove();
      window.huddleForget(parts.canvas);
      figures.delete(title);
    }
    all.forEach((chart, at) => {
      const parts = figures.get(chart.title) ?? figure(chart.title);
      const there = $("charts").children[at] ?? null;
      figures.set(chart.title, parts);
      if (there !== parts.whole) $("charts").insertBefore(parts.whole, there);
      parts.note.textContent = chart.note;
      parts.canvas.setAttribute("aria-label", `${chart.title}. ${chart.note}`);
      if (!parts.details.contains(document.activeElement)) parts.details.lastChild.replaceChildren(table(chart.table));
      window.huddleDraw(parts.canvas, chart);
    });
  }

  function showNow(told) {
    const waited = page.waiting;
    page.waiting = "waiting" in told;
    $("all").hidden = page.waiting;
    if (page.waiting) {
      $("state").textContent = "waiting for the first call";
      trouble("now", `No ledger yet at ${told.waiting}. Set HUDDLE_OTEL_EXPORTERS=ledger, or pass ` +
        'exporters=["ledger"] to instrument(): calls show here as soon as they are made.');
      return;
    }
    if (waited) ["month", "window", "calls"].forEach(refresh);
    showTiles($("now"), told.tiles);
    $("circuits").hidden = told.circuits.rows.length === 0;
    $("circuits").replaceChildren(table(told.circuits));
    $("state").textContent = `as of ${new Date().toISOString().slice(11, 19)} UTC`;
  }

  function showMonth(told) {
    showTiles($("month"), told.tiles);
    showCharts("month", told.charts);
  }

  function showWindow(told) {
    showCharts("window", told.charts);
    $("models").replaceChildren(table(told.models));
  }

  // --- single calls --------------------------------------------------------------------------------------------------

  function showCalls(told) {
    const active = document.activeElement?.dataset?.call;
    const part = { ...told, title: "Calls, newest first" };
    $("calls").replaceChildren(table(part, (row) => row.cells.map((cell, at) => {
      if (at === 0) return make("button", { type: "button", "data-call": row.id }, cell);
      return make("bdi", at === 4 ? { class: `tone-${row.tone}` } : {}, cell);
    })));
    if (active) $("calls").querySelector(`[data-call="${CSS.escape(active)}"]`)?.focus();
    page.next = told.below;
    $("older").hidden = told.below === null;
    $("newest").hidden = page.below === null;
    const matches = told.rows.length === 1 ? "1 call" : `${told.rows.length} calls`;
    tell("found", told.finished ? matches : `${matches} so far: "Older" searches on`);
  }

  async function showCall(id) {
    try {
      const { columns } = await ask("call", { id });
      $("columns").replaceChildren(...columns.flatMap(([name, value]) => [
        make("dt", {}, name),
        make("dd", value === "unknown" ? { class: "unknown" } : {}, make("bdi", {}, value)),
      ]));
      $("call").showModal();
      trouble("call", "");
    } catch (error) {
      trouble("call", error.message);
    }
  }

  function searchFrom(below) {
    page.below = below;
    return refresh("calls");
  }

  let typing;
  $("words").addEventListener("input", () => {
    window.clearTimeout(typing);
    typing = window.setTimeout(() => searchFrom(null), 250);
  });
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    searchFrom(null);
  });
  $("outcome").addEventListener("change", () => searchFrom(null));
  $("older").addEventListener("click", () => searchFrom(page.next));
  $("newest").addEventListener("click", () => searchFrom(null));
  $("window").addEventListener("change", () => refresh("window"));
  $("calls").addEventListener("click", (event) => {
    const { call } = event.target.dataset;
    if (call) showCall(call);
  });
  $("pause").addEventListener("click", () => {
    page.paused = !page.paused;
    $("pause").setAttribute("aria-pressed", String(page.paused));
    $("pause").textContent = page.paused ? "Go on" : "Pause";
  });

  const shows = { now: showNow, month: showMonth, window: showWindow, calls: showCalls };
  Object.keys(shows).forEach(poll);
})();
