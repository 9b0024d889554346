// The Learn page: three landscapes and the plane of two weights, in which θ is dragged.
//
// J(θ) = ½ θᵀTθ − θᵀc + const and U_θ = Σ θ_k φ_k are evaluated here, so nothing waits.

const EDGE = { left: 30, bottom: 22, top: 8 }; // pixels beside a picture, for ticks and their labels
const LEVELS = 9; // kT shown above the minimum
const HOLE = [176, 32, 64]; // deeper than any point by more than a kT
const lessons = new WeakMap();

export default function lesson({ data, parentElement }) {
  let view = lessons.get(parentElement);
  if (!view) {
    view = build_lesson(parentElement);
    lessons.set(parentElement, view);
  }
  if (data) take(view, data);
  return () => setTimeout(() => {
    if (view.root.isConnected) return;
    cancelAnimationFrame(view.timer);
    view.root.remove();
  });
}

function build_lesson(parent) {
  const root = element("div", { class: "fd lesson" }, parent);
  const view = { root, timer: 0, running: false, step: 0, pictures: {} };
  const names = {
    truth: "true U", default: "default head θ₀", mine: "your θ", plane: "J(θ): drag the circle",
  };
  const row = element("div", { class: "controls" }, root);
  view.says = element("output", { "data-testid": "lesson-says" }, root);
  const maps = element("div", { class: "maps" }, root);
  for (const [id, name] of Object.entries(names)) {
    const figure = element("figure", {}, maps);
    const caption = element("figcaption", {}, figure, name);
    const canvas = element("canvas", { role: "img", tabindex: id === "plane" ? "0" : "-1", "data-testid": `map-${id}` }, figure);
    canvas.setAttribute("aria-label", id === "plane"
      ? "Fisher divergence over two weights; arrow keys move θ" : `Landscape: ${name}`);
    view.pictures[id] = { canvas, caption, name };
  }
  const scale = element("div", { class: "scale quiet" }, root);
  element("span", {}, scale, "U above its lowest point in the sample: 0");
  element("i", {}, scale);
  element("span", {}, scale, `${LEVELS} kT; red: lower than any point by more than a kT`);
  element("span", {}, row, "Weights");
  view.menus = [0, 1].map((index) => {
    const menu = element("select", { "aria-label": `Weight ${index ? "up" : "across"}` }, row);
    menu.onchange = () => set_pair(view, view.menus.map((one) => Number(one.value)));
    return menu;
  });
  const button = (id, label, act) => {
    element("button", { type: "button", "data-testid": id }, row, label).onclick = act;
  };
  button("to-default", "Default", () => go_to(view, "default"));
  button("to-closed", "Closed form: one step", () => go_to(view, "closed"));
  button("to-descent", "Descend", () => descend(view));
  button("to-alone", "From points alone", () => go_to(view, "alone"));
  button("run", "Run dynamics", () => run(view));
  new ResizeObserver(() => view.data && draw_lesson(view)).observe(maps);
  const plane = view.pictures.plane.canvas;
  const drag = (event) => {
    const x = (event.offsetX - EDGE.left) / side_of(plane), y = (event.offsetY - EDGE.top) / side_of(plane);
    const { low, span } = view;
    move(view, low[0] + x * span[0], low[1] + (1 - y) * span[1]);
  };
  plane.onpointerdown = (event) => {
    plane.setPointerCapture(event.pointerId);
    view.dragging = true;
    drag(event);
  };
  plane.onpointermove = (event) => view.dragging && drag(event);
  plane.onpointerup = () => (view.dragging = false);
  plane.onkeydown = (event) => {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    const [a, b] = view.pair;
    move(view, view.theta[a] + 0.02 * way[0] * view.span[0], view.theta[b] + 0.02 * way[1] * view.span[1]);
  };
  return view;
}

// ---------------------------------------------------------------- data

function take(view, data) {
  const first = !view.data, other = view.data && view.data.default.length !== data.default.length;
  Object.assign(view, { data });
  follow_theme(view.root);
  data.field = decode(data.truth);
  data.phi = decode(data.basis);
  data.dots = decode(data.points);
  if (first || other) {
    for (const menu of view.menus) {
      menu.replaceChildren();
      data.default.forEach((_, k) => element("option", { value: String(k) }, menu, weight(k)));
    }
    view.theta = [...data.default];
    view.pair = data.pair;
  }
  set_pair(view, view.pair);
}

function set_pair(view, pair) {
  view.pair = pair;
  view.menus.forEach((menu, index) => (menu.value = String(pair[index])));
  // Default head, both solutions and the circle are to be seen.
  const { data } = view, heads = [data.default, data.closed, view.theta, ...data.descent];
  view.low = pair.map((k) => Math.min(...heads.map((head) => head[k])));
  view.span = pair.map((k, i) => Math.max(...heads.map((head) => head[k])) - view.low[i] || 1);
  view.low = view.low.map((low, i) => low - 0.35 * view.span[i]);
  view.span = view.span.map((span) => 1.7 * span);
  draw_lesson(view);
}

function go_to(view, name) {
  stop(view);
  view.theta = [...view.data[name]];
  set_pair(view, view.pair);
}

function move(view, across, up) {
  stop(view);
  view.theta[view.pair[0]] = across;
  view.theta[view.pair[1]] = up;
  draw_lesson(view);
}

function divergence({ t, c, constant }, theta) {
  let value = constant;
  for (let k = 0; k < theta.length; k += 1) {
    let row = 0;
    for (let l = 0; l < theta.length; l += 1) row += t[k][l] * theta[l];
    value += theta[k] * (0.5 * row - c[k]);
  }
  return value;
}

function landscape({ phi, grid }, theta) {
  const cells = grid * grid, field = new Float32Array(cells);
  theta.forEach((weight, k) => {
    for (let i = 0; i < cells; i += 1) field[i] += weight * phi[k * cells + i];
  });
  return field;
}

// ---------------------------------------------------------------- motion

function stop(view) {
  cancelAnimationFrame(view.timer);
  view.running = false;
}

function descend(view) {
  stop(view);
  const path = view.data.descent;
  let at = 0;
  const tick = () => {
    view.theta = [...path[Math.min(Math.floor(at), path.length - 1)]];
    draw_lesson(view);
    at += 0.75;
    if (at < path.length) view.timer = requestAnimationFrame(tick);
  };
  tick();
}

function run(view) {
  stop(view);
  view.running = true;
  view.step = 0;
  const { data } = view, last = data.ball.steps;
  view.tracks = {
    truth: roll(data, data.true, data.true.theta),
    default: roll(data, data.functions, data.default),
    mine: roll(data, data.functions, view.theta),
  };
  const tick = () => {
    draw_lesson(view);
    view.step = Math.min(view.step + 2, last);
    view.root.dataset.ball = view.tracks.mine.slice(2 * view.step, 2 * view.step + 2).join(" ");
    view.root.dataset.step = String(view.step);
    if (view.step < last) view.timer = requestAnimationFrame(tick);
  };
  tick();
}

// Velocity Verlet of a unit mass on U = Σ θ_k exp(−½ (x−m_k)ᵀ P_k (x−m_k)).
function roll({ ball }, { centres, precisions }, theta) {
  const pull = ([x, y]) => {
    let [fx, fy] = [0, 0];
    theta.forEach((weight, k) => {
      const [dx, dy] = [x - centres[k][0], y - centres[k][1]], [[a, b], [, d]] = precisions[k];
      const [px, py] = [a * dx + b * dy, b * dx + d * dy];
      const value = weight * Math.exp(-0.5 * (dx * px + dy * py));
      fx += value * px;
      fy += value * py;
    });
    return [fx, fy];
  };
  const h = ball.step, path = [...ball.start];
  let [x, v] = [ball.start, ball.push], f = pull(x);
  for (let n = 0; n < ball.steps; n += 1) {
    v = v.map((value, i) => value + 0.5 * h * f[i]);
    x = x.map((value, i) => value + h * v[i]);
    f = pull(x);
    v = v.map((value, i) => value + 0.5 * h * f[i]);
    path.push(...x);
  }
  return path;
}

// ---------------------------------------------------------------- drawing

function draw_lesson(view) {
  const { data, pictures } = view;
  draw_map(view, pictures.truth, data.field, "truth");
  draw_map(view, pictures.default, landscape(data, data.default), "default");
  draw_map(view, pictures.mine, landscape(data, view.theta), "mine");
  draw_plane(view, pictures.plane.canvas);
  const j = (theta) => {
    const value = divergence(data, theta);
    return Math.abs(value) < 1e-9 * data.constant ? "0" : value.toPrecision(3);
  };
  view.root.dataset.j = String(divergence(data, view.theta));
  view.says.textContent =
    `J: your θ ${j(view.theta)}, default ${j(data.default)}, closed form ${j(data.closed)}, ` +
    `points alone ${j(data.alone)}`;
}

const weight = (k) => `θ${String(k + 1).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit])}`;

const side_of = (canvas) => Math.max(canvas.clientWidth - EDGE.left, 40);

// A pen whose origin is the upper left corner of the picture, and the picture's side.
function pen_of(canvas) {
  const ratio = window.devicePixelRatio || 1, side = side_of(canvas);
  canvas.width = Math.round((side + EDGE.left) * ratio);
  canvas.height = Math.round((side + EDGE.top + EDGE.bottom) * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, EDGE.left * ratio, EDGE.top * ratio);
  return [pen, side];
}

// Ticks and names of both axes, outside the picture.
function axes(pen, side, canvas, low, span, names) {
  pen.fillStyle = pen.strokeStyle = colour(canvas, "color");
  pen.font = "11px sans-serif";
  pen.lineWidth = 1;
  pen.strokeRect(0, 0, side, side);
  span.forEach((size, way) => {
    const rough = size / 3, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((one) => one * power >= rough);
    pen.textAlign = way ? "right" : "center";
    pen.textBaseline = way ? "middle" : "top";
    for (let k = Math.ceil(low[way] / step); k * step <= low[way] + size; k += 1) {
      const at = ((k * step - low[way]) / size) * side, words = String(Number((k * step).toPrecision(3))).replace("-", "−");
      if (way && at < side - 14) pen.fillText(words, -4, side - at);
      else if (!way && at < side - 22) pen.fillText(words, at, side + 4);
    }
    if (!way) pen.fillText(names[0], side - 8, side + 4);
    else pen.fillText(names[1], -4, 6);
  });
}

// One value between four grid points.
function between(field, grid, row, column) {
  const i = Math.min(Math.floor(row), grid - 2), j = Math.min(Math.floor(column), grid - 2);
  const [u, v, at] = [row - i, column - j, i * grid + j];
  return (1 - u) * ((1 - v) * field[at] + v * field[at + 1])
    + u * ((1 - v) * field[at + grid] + v * field[at + grid + 1]);
}

// Bands of one kT (or one level): strong where the value is low, the page's own light or dark above.
function shade(pen, side, field, grid, level, dark, tint) {
  const fine = 3 * grid, image = new ImageData(fine, fine), ground = dark ? 26 : 246;
  for (let i = 0; i < fine; i += 1) {
    for (let j = 0; j < fine; j += 1) {
      const value = between(field, grid, (i * (grid - 1)) / (fine - 1), (j * (grid - 1)) / (fine - 1));
      const at = 4 * ((fine - 1 - i) * fine + j), height = level(value), hole = height < -1.5 / LEVELS;
      const clear = Math.min(1, Math.max(0, Math.floor(height * LEVELS) / LEVELS));
      for (let k = 0; k < 3; k += 1) image.data[at + k] = hole ? HOLE[k] : tint[k] + (ground - tint[k]) * clear;
      image.data[at + 3] = 255;
    }
  }
  const small = document.createElement("canvas");
  small.width = small.height = fine;
  small.getContext("2d").putImageData(image, 0, 0);
  pen.drawImage(small, 0, 0, side, side);
}

function draw_map(view, { canvas }, field, track) {
  const { data } = view, [pen, side] = pen_of(canvas), [x0, x1, y0, y1] = data.box;
  const dark = is_dark(view);
  // The depth at the points is the zero; what is lower has never been sampled.
  let least = Infinity;
  for (let k = 0; k < data.dots.length; k += 2) {
    const column = Math.round(((data.dots[k] - x0) / (x1 - x0)) * (data.grid - 1));
    const row = Math.round(((data.dots[k + 1] - y0) / (y1 - y0)) * (data.grid - 1));
    const inside = column >= 0 && column < data.grid && row >= 0 && row < data.grid;
    if (inside) least = Math.min(least, field[row * data.grid + column]);
  }
  shade(pen, side, field, data.grid, (value) => (value - least) / LEVELS, dark, dark ? [120, 178, 240] : [40, 82, 130]);
  const x = (value) => ((value - x0) / (x1 - x0)) * side, y = (value) => (1 - (value - y0) / (y1 - y0)) * side;
  axes(pen, side, canvas, [x0, y0], [x1 - x0, y1 - y0], ["x", "y"]);
  clip(pen, side);
  pen.fillStyle = dark ? "rgba(255, 255, 255, 0.6)" : "rgba(20, 24, 30, 0.55)";
  for (let k = 0; k < data.dots.length; k += 2) pen.fillRect(x(data.dots[k]) - 0.8, y(data.dots[k + 1]) - 0.8, 1.6, 1.6);
  arrows(pen, side, field, data.grid);
  if (!view.running) return;
  const path = view.tracks[track];
  pen.strokeStyle = "#e0218a";
  pen.lineWidth = 1.6;
  pen.beginPath();
  for (let k = 0; k <= view.step; k += 1) pen.lineTo(x(path[2 * k]), y(path[2 * k + 1]));
  pen.stroke();
  disc(pen, x(path[2 * view.step]), y(path[2 * view.step + 1]), 5, "#e0218a");
}

// The score −β∇U on a coarse grid, long arrows cut short.
function arrows(pen, side, field, grid) {
  const every = 5, cell = side / (grid - 1);
  pen.strokeStyle = "rgba(255, 140, 0, 0.8)";
  pen.lineWidth = 1;
  for (let i = 3; i < grid - 1; i += every) {
    for (let j = 3; j < grid - 1; j += every) {
      const fx = -(field[i * grid + j + 1] - field[i * grid + j - 1]);
      const fy = -(field[(i + 1) * grid + j] - field[(i - 1) * grid + j]);
      const size = Math.hypot(fx, fy) || 1, long = Math.min(11, 9 * size) / size;
      const [x, y] = [j * cell, (grid - 1 - i) * cell];
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x + fx * long, y - fy * long);
      pen.stroke();
      pen.fillStyle = pen.strokeStyle;
      pen.fillRect(x + fx * long - 1.2, y - fy * long - 1.2, 2.4, 2.4);
    }
  }
}

const is_dark = (view) => view.root.style.colorScheme === "dark";

function clip(pen, side) {
  pen.beginPath();
  pen.rect(0, 0, side, side);
  pen.clip();
}

function draw_plane(view, canvas) {
  const { data, pair, low, span } = view, [pen, side] = pen_of(canvas), grid = 40, dark = is_dark(view);
  const field = new Float32Array(grid * grid), theta = [...view.theta];
  for (let i = 0; i < grid; i += 1) {
    for (let j = 0; j < grid; j += 1) {
      theta[pair[0]] = low[0] + (j / (grid - 1)) * span[0];
      theta[pair[1]] = low[1] + (i / (grid - 1)) * span[1];
      field[i * grid + j] = Math.sqrt(Math.max(0, divergence(data, theta)));
    }
  }
  const least = Math.min(...field), most = Math.max(...field);
  shade(pen, side, field, grid, (value) => (value - least) / (most - least || 1), dark, dark ? [170, 150, 230] : [70, 60, 110]);
  axes(pen, side, canvas, low, span, pair.map(weight));
  clip(pen, side);
  const at = (head) => [((head[pair[0]] - low[0]) / span[0]) * side, (1 - (head[pair[1]] - low[1]) / span[1]) * side];
  const line = (heads, tint, dash) => {
    pen.strokeStyle = tint;
    pen.lineWidth = 2;
    pen.setLineDash(dash);
    pen.beginPath();
    for (const head of heads) pen.lineTo(...at(head));
    pen.stroke();
    pen.setLineDash([]);
  };
  line(data.ridges, data.colours.closed, [2, 3]);
  line(data.descent, data.colours.path, []);
  disc(pen, ...at(data.default), 6, data.colours.default);
  disc(pen, ...at(data.closed), 6, data.colours.closed);
  disc(pen, ...at(data.alone), 5, data.colours.alone);
  pen.strokeStyle = dark ? "#ffffff" : "#14181e";
  pen.lineWidth = 2.5;
  pen.beginPath();
  pen.arc(...at(view.theta), 9, 0, 7);
  pen.stroke();
}

function disc(pen, x, y, radius, tint) {
  pen.fillStyle = tint;
  pen.strokeStyle = "#ffffff";
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fill();
  pen.stroke();
}
