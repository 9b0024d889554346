// Charts over one axis of time, drawn on canvas: curves below, cursor and highlight above them.
//
// A click chooses the nearest curve and its moment; dragging moves the cursor; Ctrl and the wheel
// zoom, a double click shows everything again. Nothing here asks the server.

const MARGIN = { left: 60, right: 20, top: 10, bottom: 8 };
const AXIS = 34; // room for numbers and name of the axis of time, below the last chart
const REACH = 14; // pixels within which the pointer finds a curve

function make_chart(view, spec) {
  const host = element("div", { class: "chart", "data-testid": `chart-${spec.id}` }, view.charts);
  const chart = {
    host, spec, base: element("canvas", { role: "img", "aria-label": spec.alt }, host),
    over: element("canvas", { "aria-hidden": "true" }, host),
  };
  host.onpointerdown = (event) => {
    if (event.button !== 0) return;
    host.setPointerCapture(event.pointerId);
    chart.from = event.offsetX;
    chart.dragged = false;
  };
  host.onpointermove = (event) => {
    if (chart.from !== undefined) {
      chart.dragged ||= Math.abs(event.offsetX - chart.from) > 4;
      if (chart.dragged) seek(view, time_at(chart, event.offsetX));
    } else hover(view, chart, event);
  };
  host.onpointerup = (event) => {
    if (chart.from !== undefined && !chart.dragged) click(view, chart, event);
    chart.from = undefined;
  };
  host.onpointerleave = () => hover(view, chart, null);
  host.ondblclick = () => zoom(view, null);
  host.onwheel = (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const [low, high] = chart.range, centre = time_at(chart, event.offsetX);
    const factor = event.deltaY > 0 ? 1.25 : 0.8;
    zoom(view, [centre - (centre - low) * factor, centre + (high - centre) * factor]);
  };
  return chart;
}

function zoom(view, range) {
  const end = view.data.curves.end;
  const whole = !range || (range[0] <= 0 && range[1] >= end) || range[1] - range[0] < 1e-6 * end;
  view.range = whole ? null : [Math.max(0, range[0]), Math.min(end, range[1])];
  redraw(view);
}

function time_at(chart, x) {
  const [low, high] = chart.range;
  return low + ((x - MARGIN.left) / chart.wide) * (high - low);
}

const x_of = (chart, t) =>
  MARGIN.left + ((t - chart.range[0]) / (chart.range[1] - chart.range[0])) * chart.wide;
const y_of = (chart, v) =>
  MARGIN.top + ((chart.spec.high - v) / (chart.spec.high - chart.spec.low)) * chart.high;

// The curve under the pointer; markers of death count too and win.
function find(view, chart, x, y) {
  let best = null;
  const consider = (distance, found) => {
    if (distance < REACH && (!best || distance < best.distance)) best = { distance, ...found };
  };
  for (const mark of chart.marks ?? []) {
    const distance = Math.hypot(x_of(chart, mark.time) - x, mark.y - y);
    consider(distance - 4, { line: mark.line, time: mark.time, mark });
  }
  const t = time_at(chart, x);
  for (const line of chart.spec.lines) {
    const at = nearest(line.times, t), value = line.values[at];
    if (!Number.isFinite(value)) continue;
    // Fast oscillations are crossed between two points: the least distance to both neighbours.
    const around = [at - 1, at, at + 1].map((i) => y_of(chart, line.values[i])).filter(Number.isFinite);
    const [low, high] = [Math.min(...around), Math.max(...around)];
    const off = y < low ? low - y : y > high ? y - high : 0;
    const own = Math.abs(y_of(chart, value) - y);
    consider(off + 0.02 * own, { line, time: line.times[at], value });
  }
  return best;
}

function click(view, chart, event) {
  const found = find(view, chart, event.offsetX, event.offsetY);
  seek(view, found?.mark ? found.time : time_at(chart, event.offsetX), found?.mark);
  if (found && found.line.replica >= 0) choose(view, found.line.replica);
}

function hover(view, chart, event) {
  const found = event && find(view, chart, event.offsetX, event.offsetY);
  view.hovered = found?.line ?? null;
  view.tip.hidden = !found;
  if (found) {
    const value = `${digits(found.value ?? 0)} ${chart.spec.unit} at ${digits(found.time)} ps`;
    view.tip.textContent = `${found.line.name}: ${found.mark?.words ?? value}`;
    const left = Math.min(event.offsetX + 14, chart.base.clientWidth - 240);
    view.tip.style.left = `${Math.max(0, left)}px`;
    view.tip.style.top = `${chart.host.offsetTop + Math.max(0, event.offsetY - 34)}px`;
  }
  chart.host.style.cursor = found ? "pointer" : "crosshair";
  draw_cursors(view);
}

const digits = (value) => String(Number(value.toPrecision(4)));

// ---------------------------------------------------------------- drawing

function redraw(view) {
  if (!view.data?.curves) return;
  const all = view.all_charts;
  all.forEach((chart, index) => {
    chart.last = index === all.length - 1;
    chart.range = view.range ?? [0, view.data.curves.end];
    prepare(chart);
    draw_base(view, chart);
  });
  draw_cursors(view);
}

function prepare(chart) {
  const ratio = window.devicePixelRatio || 1;
  const width = chart.host.clientWidth, height = chart.spec.height + (chart.last ? AXIS : 0);
  chart.host.style.height = `${height}px`;
  chart.wide = Math.max(10, width - MARGIN.left - MARGIN.right);
  chart.high = chart.spec.height - MARGIN.top - MARGIN.bottom;
  for (const canvas of [chart.base, chart.over]) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
  }
}

function ticks(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at += 1) {
    found.push(Number((at * step).toPrecision(10)));
  }
  return found.length < 2 && most < 20 ? ticks(low, high, 2 * most) : found;
}

function clip(chart, pen) {
  pen.beginPath();
  pen.rect(MARGIN.left, MARGIN.top - 2, chart.wide, chart.high + 4);
  pen.clip();
}

function draw_base(view, chart) {
  const pen = chart.base.getContext("2d"), { spec } = chart;
  pen.clearRect(0, 0, chart.base.width, chart.base.height);
  frame_of(view, chart, pen);
  pen.save();
  clip(chart, pen);
  const chosen = view.data.subject;
  const rank = (line) => (line.replica < 0 ? 2 : line.replica === chosen ? 1 : 0);
  for (const line of [...spec.lines].sort((one, two) => rank(one) - rank(two))) {
    const looks = [{ width: 0.8, alpha: 0.28 }, { width: 1.4, alpha: 1 }, { width: 2.6, alpha: 1 }];
    stroke(chart, pen, line, looks[rank(line)]);
  }
  pen.restore();
  chart.marks = spec.id === "drift" ? deaths(view, chart, pen, chosen) : [];
}

function frame_of(view, chart, pen) {
  const text = colour(view.root, "text-color"), border = colour(view.root, "border-color");
  const { spec } = chart, [low, high] = chart.range;
  pen.font = `12px ${getComputedStyle(view.root).fontFamily}`;
  pen.lineWidth = 1;
  pen.strokeStyle = border;
  pen.fillStyle = text;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const value of spec.ticks ?? ticks(spec.low, spec.high, Math.max(2, chart.high / 45))) {
    const y = Math.round(y_of(chart, value)) + 0.5;
    rule(pen, MARGIN.left, y, MARGIN.left + chart.wide, y);
    pen.fillText(digits(value), MARGIN.left - 7, y);
  }
  pen.textAlign = "center";
  const bottom = MARGIN.top + chart.high;
  for (const value of ticks(low, high, Math.max(2, chart.wide / 110))) {
    const x = Math.round(x_of(chart, value)) + 0.5;
    rule(pen, x, MARGIN.top, x, bottom);
    if (chart.last) pen.fillText(digits(value), x, bottom + 13);
  }
  if (chart.last) pen.fillText("time (ps)", MARGIN.left + chart.wide / 2, bottom + 29);
  pen.save();
  pen.translate(12, MARGIN.top + chart.high / 2);
  pen.rotate(-Math.PI / 2);
  pen.fillText(spec.title, 0, 0);
  pen.restore();
}

function rule(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

const DASHES = { solid: [], dashed: [7, 4], dotted: [2, 3] };

function stroke(chart, pen, line, { width, alpha }) {
  pen.strokeStyle = line.colour;
  pen.lineWidth = width;
  pen.globalAlpha = alpha;
  pen.setLineDash(DASHES[line.dash]);
  pen.beginPath();
  const first = Math.max(0, place_of(line.times, chart.range[0]) - 1);
  let started = false, before = 0;
  for (let i = first; i < line.times.length; i += 1) {
    const y = y_of(chart, line.values[i]), x = x_of(chart, line.times[i]);
    if (!Number.isFinite(y)) started = false;
    else if (!started) {
      pen.moveTo(x, y);
      started = true;
    } else {
      if (chart.spec.step) pen.lineTo(x, before);
      pen.lineTo(x, y);
    }
    before = y;
    if (line.times[i] > chart.range[1]) break;
  }
  pen.stroke();
  pen.globalAlpha = 1;
  pen.setLineDash([]);
}

// A cross where a replica died, at its last energy.
function deaths(view, chart, pen, chosen) {
  const marks = [], rim = colour(view.root, "background-color");
  for (const death of view.data.curves.deaths) {
    const line = chart.spec.lines.find((one) => one.head === death.head && one.replica === death.replica);
    let at = line ? place_of(line.times, death.time) : -1;
    while (at > 0 && !Number.isFinite(line.values[at])) at -= 1;
    if (at < 0 || death.time < chart.range[0] || death.time > chart.range[1]) continue;
    const value = Math.min(chart.spec.high, Math.max(chart.spec.low, line.values[at]));
    const mark = { ...death, line, y: Number.isFinite(value) ? y_of(chart, value) : MARGIN.top };
    const x = x_of(chart, death.time), size = death.replica === chosen ? 6 : 4;
    const thick = death.replica === chosen ? 2.8 : 1.8;
    // A rim in the colour of the page sets the cross off from the curves.
    for (const [tint, wide] of [[rim, thick + 3], [line.colour, thick]]) {
      pen.strokeStyle = tint;
      pen.lineWidth = wide;
      rule(pen, x - size, mark.y - size, x + size, mark.y + size);
      rule(pen, x - size, mark.y + size, x + size, mark.y - size);
    }
    marks.push(mark);
  }
  return marks;
}

function draw_cursors(view) {
  if (!view.data?.curves) return;
  const time = view.data.times[view.frame] ?? 0;
  for (const chart of view.all_charts) {
    if (!chart.range) continue;
    const pen = chart.over.getContext("2d");
    pen.clearRect(0, 0, chart.over.width, chart.over.height);
    pen.save();
    clip(chart, pen);
    if (view.hovered && chart.spec.lines.includes(view.hovered)) {
      stroke(chart, pen, view.hovered, { width: 2, alpha: 1 });
    }
    pen.strokeStyle = colour(view.root, "text-color");
    pen.lineWidth = 1.2;
    const x = x_of(chart, time);
    rule(pen, x, 0, x, MARGIN.top + chart.high + 4);
    pen.restore();
    chart.host.dataset.cursor = digits(time);
  }
}
