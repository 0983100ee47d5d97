// Charts: every <div class="chart" data-chart='{"kind": ...}'> is drawn from the JSON in its attribute; its figures stand in a
// table beside it. Texts are drawn on a canvas (tooltips too), so no HTML and no inline style comes into being.
"use strict";

const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
function colour(name) {
  probe.style.color = `var(--${name})`; // a custom property with light-dark() is resolved only where it is used
  return getComputedStyle(probe).color;
}

// Stripes and dots: what a colour says can be seen without it.
const DECALS = {
  negative: { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: -Math.PI / 4 },
  positive: { symbol: "circle", symbolSize: 0.6, dashArrayX: [[4, 4], [0, 4, 4, 0]], dashArrayY: [4, 0] },
};
// A mouse draws over days; a finger on the chart scrolls the page, and has the dates' fields.
const FINGER = matchMedia("(pointer: coarse)");
const LINES = ["solid", "dashed", "dotted", [8, 3, 2, 3], [2, 2], [10, 4]];
const TONES = ["accent", "negative", "positive", "neutral", "edge", "ink"];

function frame(spec) {
  const soft = { color: colour("soft"), fontSize: 12 };
  const line = { lineStyle: { color: colour("line") } };
  return {
    animation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    animationDuration: 300,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
    grid: { left: 8, right: spec.normal ? 52 : 12, top: 36, bottom: 8, containLabel: true },
    legend: { top: 0, left: 0, itemWidth: 16, itemHeight: 10, textStyle: soft, icon: spec.kind === "columns" ? "rect" : undefined },
    tooltip: {
      trigger: "axis",
      renderMode: "richText",
      confine: true,
      axisPointer: { type: spec.kind === "columns" ? "shadow" : "line", lineStyle: { color: colour("edge") } },
      backgroundColor: colour("raised"),
      borderColor: colour("line"),
      textStyle: { color: colour("ink"), fontSize: 13 },
    },
    xAxis: { type: "category", data: spec.labels, axisLabel: { ...soft, hideOverlap: true }, axisTick: { show: false }, axisLine: line },
    yAxis: { type: "value", minInterval: 1, axisLabel: soft, splitLine: line },
  };
}

// {"kind": "columns", "labels": [...], "series": [{"name", "tone", "values"}], "normal": 12, "normalName": "...", "days": [...]}
function columns(spec) {
  return {
    ...frame(spec),
    brush: spec.days && !FINGER.matches ? { xAxisIndex: 0, brushType: "lineX", brushMode: "single", transformable: false, brushStyle: { color: "rgba(120,150,190,.18)", borderColor: colour("accent") }, outOfBrush: { colorAlpha: 0.35 } } : undefined,
    toolbox: { show: false },
    series: spec.series.map((each, place) => ({
      name: each.name,
      type: "bar",
      stack: "all",
      barCategoryGap: "22%",
      data: each.values,
      itemStyle: {
        color: colour(each.tone),
        opacity: each.tone === "neutral" ? 0.55 : 1,
        decal: DECALS[each.tone] ? { ...DECALS[each.tone], color: "rgba(255,255,255,.35)" } : { symbol: "none" },
      },
      markLine:
        place === 0 && spec.normal
          ? { silent: true, symbol: "none", lineStyle: { color: colour("soft"), type: "dashed" }, label: { formatter: spec.normalName, position: "end", distance: 4, color: colour("soft") }, data: [{ yAxis: spec.normal }] }
          : undefined,
    })),
  };
}

// {"kind": "lines", "labels": [...], "series": [{"name", "values"}]}: told apart by the line's pattern as well.
function lines(spec) {
  return {
    ...frame(spec),
    series: spec.series.map((each, place) => ({
      name: each.name,
      type: "line",
      data: each.values,
      symbol: ["circle", "diamond", "rect", "triangle"][place % 4],
      symbolSize: 5,
      showSymbol: spec.labels.length < 2,
      lineStyle: { width: place ? 1.75 : 2.5, type: LINES[place % LINES.length], color: colour(TONES[place % TONES.length]) },
      itemStyle: { color: colour(TONES[place % TONES.length]) },
    })),
  };
}

const KINDS = { columns, lines };

function draw(box) {
  const spec = JSON.parse(box.dataset.chart);
  const chart = echarts.getInstanceByDom(box) || echarts.init(box, null, { renderer: "canvas" });
  chart.setOption(KINDS[spec.kind](spec), true);
  chart.off("brushEnd");
  if (!spec.days || FINGER.matches) return;
  // Drawing over the columns chooses days: the page is asked again for them.
  chart.dispatchAction({ type: "takeGlobalCursor", key: "brush", brushOption: { brushType: "lineX", brushMode: "single" } });
  chart.on("brushEnd", (event) => {
    if (!event.areas.length) return;
    const [first, last] = event.areas[0].coordRange;
    const wanted = new URL(location.href);
    wanted.searchParams.delete("days");
    wanted.searchParams.set("from", spec.days[Math.max(0, first)]);
    wanted.searchParams.set("to", spec.days[Math.min(spec.days.length - 1, last)]);
    location.assign(wanted);
  });
}

function drawAll() {
  for (const box of document.querySelectorAll("[data-chart]")) draw(box);
}
drawAll();
document.addEventListener("htmx:afterSettle", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
let waiting = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(() => {
    for (const box of document.querySelectorAll("[data-chart]")) echarts.getInstanceByDom(box)?.resize();
  });
});
