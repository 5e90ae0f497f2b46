// Draws a KPI's history from the JSON in the page. Gaps stay gaps: nothing is interpolated.
const holder = document.getElementById("chart");
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const DAY_MS = 86_400_000;
let chart;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--w-${name}`).trim();

// Unbroken runs of points in the same state, as [first, last] indices.
function stretches(points, wanted) {
  const found = [];
  points.forEach((point, i) => {
    if (!wanted(point)) return;
    const last = found.at(-1);
    if (last && last[1] === i - 1 && points[last[0]].state === point.state) last[1] = i;
    else found.push([i, i]);
  });
  return found;
}

// The band of one stretch: upper bounds there, lower bounds back. A lone point gets a narrow bar.
function band(points, [first, last], fill, stroke) {
  return (params, api) => {
    const part = points.slice(first, last + 1).filter((p) => p.low !== null);
    if (!part.length) return null;
    const lone = part.length === 1 ? 3 : 0;
    const upper = part.flatMap((p) => { const [x, y] = api.coord([p.at, p.high]); return lone ? [[x - lone, y], [x + lone, y]] : [[x, y]]; });
    const lower = part.flatMap((p) => { const [x, y] = api.coord([p.at, p.low]); return lone ? [[x - lone, y], [x + lone, y]] : [[x, y]]; });
    return {
      type: "group", silent: true, children: [
        { type: "polygon", shape: { points: [...upper, ...lower.reverse()] }, style: { fill } },
        { type: "polyline", shape: { points: upper }, style: { stroke, lineWidth: 1, fill: null } },
        { type: "polyline", shape: { points: lower }, style: { stroke, lineWidth: 1, fill: null } },
      ],
    };
  };
}

// Diagonals over a rectangle, every `step` pixels; `down` leans the other way.
function diagonals({ x, y, width, height }, step, down, stroke) {
  const lines = [];
  for (let c = step; c < width + height; c += step) {
    let x1 = Math.max(0, c - height), y1 = Math.min(c, height), x2 = Math.min(c, width), y2 = Math.max(0, c - width);
    if (down) { y1 = height - y1; y2 = height - y2; }
    lines.push({ type: "line", silent: true, shape: { x1: x + x1, y1: y + y1, x2: x + x2, y2: y + y2 }, style: { stroke, lineWidth: 1, opacity: 0.6 } });
  }
  return lines;
}

// A stretch of windows without a number, full height, hatched by reason.
function gap(points, [first, last], half, word) {
  const state = points[first].state;
  return (params, api) => {
    const area = params.coordSys;
    const left = Math.max(api.coord([points[first].at - half, 0])[0], area.x);
    const right = Math.min(api.coord([points[last].at + half, 0])[0], area.x + area.width);
    const box = { x: left, y: area.y, width: right - left, height: area.height };
    const stroke = colour(state);
    const children = [{
      type: "rect", silent: true, shape: box,
      style: state === "pending" ? { fill: colour("gap"), stroke, lineDash: [4, 4], lineWidth: 1 } : { fill: colour("gap") },
    }];
    if (state !== "pending") children.push(...diagonals(box, 14, false, stroke));
    if (state === "refused") children.push(...diagonals(box, 14, true, stroke));
    if (box.width > word.length * 7 + 16) {
      children.push({
        type: "text", silent: true,
        style: { x: left + box.width / 2, y: area.y + 8, text: word, align: "center", verticalAlign: "top", fill: colour("text"), backgroundColor: colour("gap"), padding: [3, 6], borderRadius: 4, fontSize: 12, fontFamily: getComputedStyle(document.body).fontFamily },
      });
    }
    return { type: "group", silent: true, children };
  };
}

function tip(point) {
  const box = document.createElement("div");
  box.className = "tip";
  box.append(Object.assign(document.createElement("b"), { textContent: point.text }), point.label);
  return box;
}

function draw() {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  const points = data.points;
  if (!points.length) return;
  holder.setAttribute("aria-label", data.aria);
  const step = points.length > 1 ? (points.at(-1).at - points[0].at) / (points.length - 1) : 7 * DAY_MS;
  const half = step / 2;
  const month = new Intl.DateTimeFormat(data.lang, { month: "short", timeZone: "UTC" });
  const plain = new Intl.NumberFormat(data.lang, { minimumFractionDigits: 0, maximumFractionDigits: 2 });
  const euro = new Intl.NumberFormat(data.lang, { style: "currency", currency: "EUR", maximumFractionDigits: 0 });
  const percent = new Intl.NumberFormat(data.lang, { style: "percent", maximumFractionDigits: 1 });
  const styles = { "EUR/patient-month": euro, share: percent };
  const written = (value) => (styles[data.unit] ?? plain).format(value).replace("-", "−");
  const middle = data.reference ?? points.find((p) => p.value !== null)?.value ?? 0.5;
  const inside = points.some((p) => p.value !== null);
  const text = colour("muted");
  const label = { color: text, fontSize: 12, lineHeight: 15, fontFamily: getComputedStyle(document.body).fontFamily };
  const common = { type: "custom", clip: true, silent: true, tooltip: { show: false } };
  const series = [
    ...stretches(points, (p) => p.state !== "released").map((s) => ({
      ...common, z: 0, data: [[points[s[0]].at - half, points[s[1]].at + half]], encode: { x: [0, 1] },
      renderItem: gap(points, s, half, data.states[points[s[0]].state]),
    })),
    ...stretches(points, (p) => p.state === "released").map((s) => ({
      ...common, z: 1,
      data: [[points[s[0]].at, points[s[1]].at, ...["low", "high"].map((k) => Math[k === "low" ? "min" : "max"](...points.slice(s[0], s[1] + 1).map((p) => p[k] ?? p.value)))]],
      encode: { x: [0, 1], y: [2, 3] }, renderItem: band(points, s, colour("band"), colour("band-edge")),
    })),
    {
      // Has a value for every window, so that the tooltip finds gaps too.
      id: "reference", type: "line", z: 2, silent: true, symbol: "none", data: points.map((p) => [p.at, data.reference ?? middle]),
      lineStyle: { color: colour("reference"), type: [5, 4], width: data.reference === null ? 0 : 1.5 },
    },
    {
      id: "value", type: "line", z: 3, connectNulls: false, data: points.map((p) => [p.at, p.value]), symbol: "circle",
      symbolSize: holder.clientWidth < 500 ? 3 : 5, showAllSymbol: true, lineStyle: { color: colour("line"), width: 2 }, itemStyle: { color: colour("line") },
      emphasis: { disabled: true },
    },
  ];
  chart ??= echarts.init(holder, null, { renderer: "svg" });
  chart.setOption({
    useUTC: true, animation: !still, animationDuration: 300, aria: { enabled: false },
    grid: { left: 4, right: 12, top: 12, bottom: 4, containLabel: true },
    xAxis: {
      type: "time", min: points[0].at - half, max: points.at(-1).at + half,
      axisLine: { lineStyle: { color: colour("reference") }, onZero: false }, axisTick: { lineStyle: { color: colour("reference") } },
      axisLabel: {
        ...label, hideOverlap: true, showMinLabel: true,
        formatter: (at) => { const day = new Date(at); return day.getUTCMonth() === 0 ? `${month.format(day)}\n${day.getUTCFullYear()}` : month.format(day); },
      },
      splitLine: { show: false }, minInterval: 28 * DAY_MS,
    },
    yAxis: {
      type: "value", scale: true, axisLabel: { ...label, formatter: written }, splitLine: { lineStyle: { color: colour("grid") } },
      ...(inside ? {} : { min: middle - 1, max: middle + 1 }),
    },
    tooltip: {
      trigger: "axis", confine: true, backgroundColor: colour("page"), borderColor: colour("reference"), textStyle: { color: colour("text"), fontSize: 13 },
      axisPointer: { type: "line", lineStyle: { color: colour("reference"), type: "solid" } },
      formatter: (shown) => { const hit = shown.find((s) => s.seriesId === "reference") ?? shown[0]; return tip(points[hit.dataIndex]); },
    },
    series,
  }, { notMerge: true });
}

draw();
new ResizeObserver(() => chart?.resize()).observe(holder);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
document.addEventListener("winnow:changed", draw);
