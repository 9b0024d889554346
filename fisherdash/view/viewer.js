// Molecules in step with each other: one or more 3Dmol views, one slider, one clock.
//
// The data come as numbers and captions; captions are set as text, so nothing in them is ever
// interpreted as markup. New data change the frames of the views that are there; nothing is
// mounted again while a run goes on.

const LIBRARY = "app/static/vendor/3Dmol-min.js";
// Only where the file above is missing; pinned and checked by the browser.
const ELSEWHERE = {
  url: "https://cdn.jsdelivr.net/npm/3dmol@2.5.5/build/3Dmol-min.js",
  integrity: "sha384-OsczYbldvrHgslr9fFp/i4GiLSeuw9l+QIlv99ITw8soOwXcoGeflFMLg+CU/X1d",
};
const NO_LIBRARY =
  "The 3D view needs the library 3Dmol.js, which is neither on this machine nor reachable. " +
  "Run “make setup” once with access to the internet and reload this page.";
const NO_WEBGL =
  "This browser offers no WebGL, so molecules cannot be drawn in 3D here. " +
  "Everything else on this page works.";
const FRAMES_PER_SECOND = 20;

const mounted = new WeakMap();

export default function viewer({ data, parentElement }) {
  let view = mounted.get(parentElement);
  if (!view) {
    view = build(parentElement);
    mounted.set(parentElement, view);
  }
  if (data) receive(view, data);
  return () => {
    dismantle(view);
    mounted.delete(parentElement);
  };
}

// ---------------------------------------------------------------- the library

function script(url, integrity) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = url;
    if (integrity) {
      element.integrity = integrity;
      element.crossOrigin = "anonymous";
    }
    element.onload = () => (window.$3Dmol ? resolve(window.$3Dmol) : reject(new Error(url)));
    element.onerror = () => reject(new Error(url));
    document.head.appendChild(element);
  });
}

function library() {
  if (window.$3Dmol) return Promise.resolve(window.$3Dmol);
  if (!window.fisherdash3Dmol) {
    // A failure is kept too: it is tried again when the page is loaded again, not at every frame.
    window.fisherdash3Dmol = script(new URL(LIBRARY, document.baseURI).href).catch(() =>
      script(ELSEWHERE.url, ELSEWHERE.integrity),
    );
  }
  return window.fisherdash3Dmol;
}

// ---------------------------------------------------------------- the page

function element(tag, attributes = {}, parent = null) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (parent) parent.appendChild(made);
  return made;
}

function build(parent) {
  const root = element("div", { class: "fd" }, parent);
  const view = {
    root,
    notice: element("p", { class: "notice", role: "status", hidden: "" }, root),
    stage: element("div", { class: "panes" }, root),
    panes: [],
    frame: 0,
    playing: false,
    key: null,
    data: null,
    timer: 0,
  };
  const controls = element("div", { class: "controls" }, root);
  view.controls = controls;
  view.button = element("button", { type: "button", "data-testid": "play" }, controls);
  view.slider = element(
    "input",
    { type: "range", min: "0", step: "1", "aria-label": "Frame" },
    controls,
  );
  view.speed = element("select", { "aria-label": "Speed" }, controls);
  for (const factor of [0.25, 0.5, 1, 2, 4]) {
    const option = element("option", { value: String(factor) }, view.speed);
    option.textContent = `${factor}×`;
    option.selected = factor === 1;
  }
  view.label = element("output", {}, controls);
  view.button.onclick = () => play(view, !view.playing);
  view.slider.oninput = () => {
    play(view, false);
    show(view, Number(view.slider.value));
  };
  view.observer = new ResizeObserver(() => view.panes.forEach((pane) => pane.gl?.resize()));
  view.observer.observe(root);
  return view;
}

function dismantle(view) {
  cancelAnimationFrame(view.timer);
  view.playing = false;
  view.observer.disconnect();
  view.panes.forEach(release);
  view.root.remove();
}

function release(pane) {
  // A browser grants a page only a handful of WebGL contexts: give this one back now.
  const canvas = pane.host.querySelector("canvas");
  const gl = canvas && (canvas.getContext("webgl2") || canvas.getContext("webgl"));
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  pane.figure.remove();
}

// ---------------------------------------------------------------- new data

function receive(view, data) {
  const followed = view.data && view.frame >= view.data.times.length - 1;
  const another = view.key !== data.key;
  view.data = data;
  view.key = data.key;
  data.panes.forEach((pane) => (pane.xyz = decode(pane.positions)));
  view.slider.max = String(Math.max(0, data.times.length - 1));
  view.controls.hidden = data.times.length < 2;
  arrange(view, data);
  if (another) view.frame = 0;
  else if (data.live && followed && !view.playing) view.frame = data.times.length - 1;
  library().then(
    ($3Dmol) => draw(view, $3Dmol, another),
    () => say(view, NO_LIBRARY),
  );
}

function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

function say(view, sentence) {
  view.notice.textContent = sentence;
  view.notice.hidden = false;
  view.stage.hidden = true;
  view.controls.hidden = true;
}

function arrange(view, data) {
  while (view.panes.length > data.panes.length) release(view.panes.pop());
  while (view.panes.length < data.panes.length) {
    const figure = element("figure", {}, view.stage);
    const caption = element("figcaption", {}, figure);
    const host = element("div", { class: "canvas" }, figure);
    view.panes.push({ figure, caption, host, gl: null, model: null });
  }
  data.panes.forEach((pane, index) => {
    const { caption, host } = view.panes[index];
    caption.style.borderBottomColor = pane.colour;
    caption.style.borderBottomStyle = pane.dash;
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", `3D view of the molecule: ${pane.caption}`);
  });
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
  if (another) view.panes.forEach((pane) => populate(pane, view.data));
  show(view, view.frame);
  if (another) {
    view.panes.forEach((pane) => {
      pane.gl.zoomTo();
      pane.gl.zoom(1.3);
      pane.gl.render();
    });
    link(view);
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    play(view, Boolean(view.data.playing) && !calm);
  }
}

function link(view) {
  // Turning one molecule turns them all.
  view.panes.forEach((pane) =>
    pane.gl.setViewChangeCallback((state) => {
      if (view.turning) return;
      view.turning = true;
      view.panes.forEach((other) => other !== pane && other.gl.setView(state));
      view.turning = false;
    }),
  );
}

function populate(pane, data) {
  pane.gl.removeAllModels();
  pane.model = pane.gl.addModel();
  pane.model.addAtoms(
    data.elements.map((elem, serial) => ({
      elem, serial, x: 0, y: 0, z: 0, bonds: [], bondOrder: [],
    })),
  );
}

// ---------------------------------------------------------------- frames

function show(view, frame) {
  const { data } = view;
  const last = data.times.length - 1;
  view.frame = Math.min(Math.max(0, frame), Math.max(0, last));
  view.panes.forEach((pane, index) => place(pane, data.panes[index], data, view.frame));
  view.slider.value = String(view.frame);
  const time = data.times[view.frame] ?? 0;
  const text = data.unit
    ? `${time.toPrecision(4)} ${data.unit} (frame ${view.frame + 1} of ${last + 1})`
    : `frame ${time}`;
  view.label.textContent = text;
  view.slider.setAttribute("aria-valuetext", text);
  view.root.dataset.frame = String(view.frame);
  view.root.dataset.frames = String(last + 1);
}

function place(pane, track, data, frame) {
  const dead = track.died >= 0 && frame >= track.died;
  pane.caption.textContent = dead ? `${track.caption}: ${track.ending}` : track.caption;
  if (!pane.model) return;
  const atoms = pane.model.selectedAtoms({});
  const count = data.elements.length;
  for (let i = 0; i < count; i += 1) {
    const at = 3 * (frame * count + i);
    const xyz = [track.xyz[at], track.xyz[at + 1], track.xyz[at + 2]];
    if (xyz.every(Number.isFinite)) [atoms[i].x, atoms[i].y, atoms[i].z] = xyz;
  }
  bond(atoms, data);
  const colorscheme = { prop: "elem", map: { ...window.$3Dmol.elementColors.Jmol, ...data.colours } };
  pane.model.setStyle({}, {
    stick: { radius: 0.13, colorscheme },
    sphere: { scale: 0.26, colorscheme },
  });
  pane.gl.render();
}

function bond(atoms, { radii, tolerance }) {
  for (const atom of atoms) {
    atom.bonds = [];
    atom.bondOrder = [];
  }
  for (let i = 0; i < atoms.length; i += 1) {
    for (let j = i + 1; j < atoms.length; j += 1) {
      const limit = tolerance * (radii[i] + radii[j]);
      const [dx, dy, dz] = [atoms[i].x - atoms[j].x, atoms[i].y - atoms[j].y, atoms[i].z - atoms[j].z];
      if (dx * dx + dy * dy + dz * dz < limit * limit) {
        atoms[i].bonds.push(j);
        atoms[j].bonds.push(i);
        atoms[i].bondOrder.push(1);
        atoms[j].bondOrder.push(1);
      }
    }
  }
}

function play(view, wanted) {
  view.playing = wanted;
  view.button.textContent = wanted ? "Pause" : "Play";
  view.button.setAttribute("aria-pressed", String(wanted));
  cancelAnimationFrame(view.timer);
  if (!wanted) return;
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
      show(view, (view.frame + advance) % Math.max(1, view.data.times.length));
    }
    view.timer = requestAnimationFrame(tick);
  };
  view.timer = requestAnimationFrame(tick);
}
