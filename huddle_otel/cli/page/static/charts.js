// Draws a `Chart` of parts.py with Chart.js. Colours are the style sheet's, so light, dark and print need no code of
// their own. Names are drawn as text on a canvas, never as markup.
"use strict";
(() => {
  const Library = window.Chart;
  const drawn = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const number = (digits) => new Intl.NumberFormat("en", digits);
  const plain = number({ maximumFractionDigits: 0 });
  const short = number({ notation: "compact", maximumFractionDigits: 1 });
  const dollars = number({ style: "currency", currency: "USD", maximumSignificantDigits: 3, minimumFractionDigits: 0 });
  const write = {
    usd: (value) => dollars.format(value),
    s: (value) => `${Number(value.toPrecision(3))} s`,
    calls: (value) => plain.format(value),
  };
  const axis = { ...write, calls: (value) => (Number.isInteger(value) ? short.format(value) : "") };

  function dataset(series) {
    const tone = colour(series.tone);
    const common = { label: series.name, data: series.values, borderColor: tone, backgroundColor: tone };
    if (series.style === "bar") {
      return { ...common, type: "bar", stack: "all", pointStyle: "rectRounded", borderWidth: 0, categoryPercentage: 0.95 };
    }
    const hidden = series.style === "edge" || series.style === "band";
    return {
      ...common,
      type: "line",
      borderWidth: hidden ? 0 : 2,
      borderDash: series.style === "dashed" ? [5, 4] : [],
      pointRadius: 0,
      pointHitRadius: 8,
      pointStyle: series.style === "band" ? "rect" : "line",
      fill: series.style === "band" ? "-1" : false,
      backgroundColor: series.style === "band" ? `${tone}40` : tone,
    };
  }

  function options(spec) {
    const soft = colour("soft");
    const line = colour("line");
    const stacked = spec.series.some((series) => series.style === "bar");
    return {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: {
          stacked,
          grid: { display: false },
          border: { color: line },
          ticks: { color: soft, maxRotation: 0, autoSkipPadding: 14 },
        },
        y: {
          stacked,
          beginAtZero: true,
          grid: { color: line },
          border: { display: false },
          ticks: { color: soft, maxTicksLimit: 6, callback: (value) => axis[spec.unit](value) },
        },
      },
      plugins: {
        legend: {
          position: "bottom",
          labels: {
            color: soft,
            boxWidth: 16,
            boxHeight: 8,
            usePointStyle: true,
            filter: (item) => spec.series[item.datasetIndex].style !== "edge",
          },
        },
        tooltip: {
          filter: (item) => item.raw !== null && (item.raw !== 0 || !stacked),
          callbacks: { label: (item) => ` ${item.dataset.label}: ${write[spec.unit](item.raw)}` },
        },
      },
    };
  }

  function draw(canvas, spec) {
    const before = drawn.get(canvas);
    const data = { labels: spec.labels, datasets: spec.series.map(dataset) };
    if (before) {
      before.chart.data = data;
      before.chart.options = options(spec);
      before.chart.update("none");
      before.spec = spec;
    } else {
      drawn.set(canvas, { spec, chart: new Library(canvas, { type: "bar", data, options: options(spec) }) });
    }
  }

  function redraw() {
    for (const [canvas, { chart, spec }] of drawn) {
      chart.resize();
      draw(canvas, spec);
    }
  }

  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    window.matchMedia(query).addEventListener("change", redraw);
  }
  Library.defaults.font.family = getComputedStyle(document.documentElement).fontFamily;
  window.huddleDraw = draw;
  window.huddleForget = (canvas) => {
    drawn.get(canvas).chart.destroy();
    drawn.delete(canvas);
  };

  const inPage = document.querySelector("script#charts");
  if (inPage) {
    const canvases = document.querySelectorAll("figure canvas");
    JSON.parse(inPage.textContent).forEach((spec, at) => draw(canvases[at], spec));
  }
})();
