// Molecules and curves in step: 3D views, charts, one slider and one clock.
//
// The data come as numbers and captions; captions are set as text, so nothing in them is ever
// interpreted as markup. New data change what is there; nothing is mounted again while a run goes
// on. Only the choice of another replica asks the server, for that replica's positions.

const NO_LIBRARY =
  "The 3D view needs the library 3Dmol.js, which is neither on this machine nor reachable. " +
  "Run “make setup” once with access to the internet and reload this page.";
const NO_WEBGL =
  "This browser offers no WebGL, so molecules cannot be drawn in 3D here. " +
  "Everything else on this page works.";
const HINT =
  "Click a curve or a cross for that replica at that moment; drag to zoom, double click to reset. " +
  "Space plays, arrows step, Home and End jump.";
const FRAMES_PER_SECOND = 20;

const mounted = new WeakMap();

export default function viewer({ data, parentElement, setTriggerValue }) {
  let view = mounted.get(parentElement);
  if (!view) {
    view = build(parentElement);
    mounted.set(parentElement, view);
  }
  view.tell = setTriggerValue;
  if (data) receive(view, data);
  // Streamlit also calls this when new data overtake older ones on a busy machine. Only a view that
  // has left the page is taken down.
  return () =>
    setTimeout(() => {
      if (view.root.isConnected) return;
      dismantle(view);
      if (mounted.get(parentElement) === view) mounted.delete(parentElement);
    });
}

function build(parent) {
  const root = element("div", { class: "fd", tabindex: "-1" }, parent);
  const view = {
    root, panes: [], plots: [], series: [], chosen: [], frame: 0, playing: false, overlay: false,
    key: null, data: null, main: null, measure_chart: null, timer: 0, told: 0,
    camera: 0, following: true, arrows: false, painted: false, asked: false, held: false,
    zoomed: false, film: null,
  };
  view.controls = controls(view);
  view.charts = element("div", { class: "charts" }, root);
  view.notice = element("p", { class: "notice", role: "status", hidden: "" }, root);
  view.stage = element("div", { class: "panes" }, root);
  view.looks = looks_row(view);
  view.measuring = measure_row(view);
  view.hint = element("p", { class: "hint quiet", hidden: "" }, root, HINT);
  view.observer = new ResizeObserver(() => {
    resize_views(view);
    resize_plots(view);
  });
  view.observer.observe(root);
  root.onkeydown = (event) => key_pressed(view, event);
  view.theme = window.matchMedia("(prefers-color-scheme: dark)");
  view.recolour = () => setTimeout(() => {
    follow_theme(root);
  }, 300);
  view.theme.addEventListener("change", view.recolour);
  follow_theme(root);
  return view;
}

function controls(view) {
  const row = element("div", { class: "controls" }, view.root);
  view.button = element("button", { type: "button", "data-testid": "play" }, row);
  view.slider = element("input", { type: "range", min: "0", step: "1", "aria-label": "Frame" }, row);
  view.speed = element("select", { "aria-label": "Speed" }, row);
  for (const factor of [0.25, 0.5, 1, 2, 4]) {
    element("option", { value: String(factor) }, view.speed, `${factor}×`).selected = factor === 1;
  }
  view.label = element("output", {}, row);
  view.failures = element("span", { class: "failures" }, row);
  view.overlaid = element("button", { type: "button", "data-testid": "overlay", hidden: "" }, row);
  view.range = element("button", { type: "button", "data-testid": "range", hidden: "" }, row);
  view.range.title = "A curve leaves the axis of energy.";
  view.range.onclick = () => {
    view.whole = !view.whole;
    fit_energy(view);
    delete view.main.given?.yaxis; // asked for now, so it wins over an earlier zoom
    draw_plot(view, view.main, view.figure, view.data.alt);
  };
  const fit = element("button", { type: "button", "data-testid": "fit" }, row, "Reset view");
  fit.onclick = () => fit_views(view);
  // At the end of a run that grows one sees each new frame, unless one has paused.
  view.button.onclick = () => {
    play(view, !view.playing);
    view.following = view.playing;
  };
  view.slider.oninput = () => {
    play(view, false);
    view.following = true;
    show(view, Number(view.slider.value));
    tell_moment(view);
  };
  view.overlaid.onclick = () => {
    view.overlay = !view.overlay;
    lay_out(view);
  };
  return row;
}

function dismantle(view) {
  cancelAnimationFrame(view.timer);
  view.playing = false;
  end_film(view);
  view.observer.disconnect();
  view.theme.removeEventListener("change", view.recolour);
  view.panes.forEach(release);
  view.plots.forEach((plot) => forget_plot(view, plot));
  view.root.remove();
}

// ---------------------------------------------------------------- new data

function receive(view, data) {
  const old = view.data, another = view.key !== data.key;
  const at_end = old && view.frame >= old.times.length - 1;
  const time = old?.times[view.frame] ?? 0;
  Object.assign(view, { data, key: data.key });
  follow_theme(view.root);
  data.panes.forEach((pane) => (pane.xyz = decode(pane.positions)));
  take_forces(view, data);
  if (another) Object.assign(view, { frame: nearest(data.times, data.moment ?? 0), whole: false, chosen: [], following: true });
  else if (data.live && at_end && view.following && !view.playing) view.frame = data.times.length - 1;
  else view.frame = nearest(data.times, time);
  if (old && data.subject !== old.subject) tell_moment(view); // the page has written the address anew
  view.slider.max = String(Math.max(0, data.times.length - 1));
  view.controls.hidden = data.times.length < 2;
  view.film_button.hidden = data.times.length < 2 || !film_type();
  view.measuring.hidden = view.hint.hidden = !data.figure;
  if (another) fill_menus(view, data);
  receive_curves(view, data);
  measure(view);
  arrange(view, data);
  buttons(view);
  library().then(
    ($3Dmol) => draw(view, $3Dmol, another),
    () => say(view, NO_LIBRARY),
  );
}

function buttons(view) {
  const { data } = view;
  view.failures.replaceChildren();
  data.panes.forEach((pane, index) => {
    if (pane.failed < 0) return;
    // The chart marks failures with the same cross; whole words would need a second row.
    const label = { "aria-label": `Failure of ${pane.name}`, title: pane.ending };
    const button = element("button", { type: "button", ...label }, view.failures, `✕ ${pane.name}`);
    button.style.borderColor = data.failure;
    button.onclick = () => {
      play(view, false);
      show(view, pane.failed);
      face_failure(view, index);
      tell_moment(view);
    };
  });
  view.overlaid.hidden = data.panes.length < 2;
  view.overlaid.textContent = view.overlay ? "Side by side" : "Overlay";
}

function lay_out(view) {
  arrange(view, view.data);
  buttons(view);
  if (!view.panes.every((pane) => pane.gl)) return show(view, view.frame);
  view.panes.forEach((pane) => populate(view, pane));
  show(view, view.frame);
  resize_views(view);
}

function say(view, sentence) {
  view.notice.textContent = sentence;
  view.notice.hidden = false;
  view.stage.hidden = true;
  view.controls.hidden = !view.data.figure;
}

function draw(view, $3Dmol, another) {
  if (view.data === null || !view.root.isConnected) return;
  try {
    view.panes.forEach((pane) => {
      pane.gl ??= $3Dmol.createViewer(pane.host, { backgroundAlpha: 0, antialias: true });
    });
  } catch {
    say(view, NO_WEBGL);
    return;
  }
  if (view.panes.some((pane) => !pane.gl)) {
    say(view, NO_WEBGL);
    return;
  }
  if (another) view.panes.forEach((pane) => populate(view, pane));
  show(view, view.frame);
  if (view.facing) face_this_failure(view);
  if (another) {
    fit_views(view);
    link(view);
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    play(view, Boolean(view.data.playing) && !calm);
  }
}

// ---------------------------------------------------------------- time

// Another replica's positions are the server's to give; the moment stays.
function choose(view, replica) {
  if (replica === view.data.subject) return;
  view.tell?.("replica", replica);
}

// The address keeps the moment once it has stayed for a while. It is changed here: a message to the
// page would carry what its fields said before the click, and could undo the choice of a replica.
function tell_moment(view) {
  clearTimeout(view.told);
  if (!view.data.figure || view.playing) return;
  const time = view.data.times[view.frame];
  view.told = setTimeout(() => {
    if (view.playing || !view.root.isConnected) return;
    const address = new URL(window.location.href);
    address.searchParams.set("time", String(Number(time.toPrecision(6))));
    window.history.replaceState(window.history.state, "", address);
  }, 700);
}

function seek(view, time, exactly = false) {
  play(view, false);
  // A failure lies between two frames: the later one shows what happened.
  const at = nearest(view.data.times, time);
  const late = exactly && view.data.times[at] < time - 1e-6;
  show(view, late ? at + 1 : at);
  view.facing = exactly; // a cross of another replica: its positions are still to come
  if (exactly) face_this_failure(view);
  tell_moment(view);
}

function face_this_failure(view) {
  const index = view.data.panes.findIndex((pane) => pane.failed === view.frame);
  if (index < 0) return;
  view.facing = false;
  face_failure(view, index);
}

function show(view, frame) {
  const { data } = view;
  const last = data.times.length - 1;
  view.frame = Math.min(Math.max(0, frame), Math.max(0, last));
  view.panes.forEach((pane) => place(view, pane, view.frame));
  view.slider.value = String(view.frame);
  view.slider.style.setProperty("--done", `${(100 * view.frame) / Math.max(1, last)}%`);
  const time = data.times[view.frame] ?? 0;
  const text = data.unit
    ? `${time.toPrecision(4)} ${data.unit} (frame ${view.frame + 1} of ${last + 1})`
    : `frame ${time}`;
  view.label.textContent = text;
  view.slider.setAttribute("aria-valuetext", text);
  Object.assign(view.root.dataset, {
    frame: String(view.frame), frames: String(last + 1), subject: String(data.subject ?? ""),
  });
  say_measured(view);
  draw_cursors(view);
  film_frame(view);
}

function play(view, wanted) {
  view.playing = wanted;
  view.button.textContent = wanted ? "Pause" : "Play";
  view.button.setAttribute("aria-pressed", String(wanted));
  cancelAnimationFrame(view.timer);
  if (!wanted) return end_film(view);
  // Where drawing is slow (no GPU), frames are left out so that at most a third of the time goes
  // into it: the page stays usable and the simulation keeps its processor. The speed stays.
  let shown = performance.now();
  let drawing = 0;
  let rest = 0;
  const tick = (now) => {
    if (!view.playing) return;
    if (drawing) {
      rest = 2 * (now - drawing);
      drawing = 0;
    }
    const advance = Math.floor(((now - shown) / 1000) * FRAMES_PER_SECOND * Number(view.speed.value));
    if (advance > 0 && now - shown > rest) {
      shown = now;
      drawing = performance.now();
      const before = view.frame, next = before + advance, end = view.film?.last;
      show(view, end === undefined ? next % Math.max(1, view.data.times.length) : Math.min(next, end));
      turn_at_failure(view, before);
    }
    if (!view.playing) return; // a film has ended
    view.timer = requestAnimationFrame(tick);
  };
  view.timer = requestAnimationFrame(tick);
}

// Keys work wherever in the viewer the focus is, except in fields that have their own.
function key_pressed(view, event) {
  if (["SELECT", "INPUT"].includes(event.target.tagName) && event.key !== " ") return;
  if (event.target.tagName === "BUTTON" && event.key === " ") return;
  const last = view.data.times.length - 1;
  const target = {
    ArrowLeft: view.frame - 1, ArrowRight: view.frame + 1, Home: 0, End: last,
  }[event.key];
  if (target === undefined && event.key !== " ") return;
  event.preventDefault();
  if (event.key === " ") return view.button.onclick();
  play(view, false);
  show(view, target);
}
