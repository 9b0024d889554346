// The 3D views: one for each head, or all heads laid over each other in the first.

function release(pane) {
  // A browser grants a page only a handful of WebGL contexts: give this one back now.
  const canvas = pane.host.querySelector("canvas");
  const gl = canvas && (canvas.getContext("webgl2") || canvas.getContext("webgl"));
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  pane.figure.remove();
}

function arrange(view, data) {
  while (view.panes.length > data.panes.length) release(view.panes.pop());
  while (view.panes.length < data.panes.length) {
    const figure = element("figure", {}, view.stage);
    const caption = element("figcaption", {}, figure);
    const host = element("div", { class: "canvas" }, figure);
    const pane = { figure, caption, host, gl: null, models: [] };
    // 3Dmol's own wheel zooms the other way round and lets the camera enter an atom.
    const wheel = (event) => wheeled(view, pane, event);
    host.addEventListener("wheel", wheel, { capture: true, passive: false });
    host.addEventListener("pointerdown", () => (view.held = true), { capture: true });
    view.panes.push(pane);
  }
  const overlay = view.overlay && data.panes.length > 1;
  view.stage.dataset.panes = String(overlay ? 1 : data.panes.length);
  data.panes.forEach((track, index) => {
    const pane = view.panes[index];
    pane.tracks = overlay ? (index ? [] : data.panes) : [track];
    pane.figure.hidden = !pane.tracks.length;
    pane.caption.replaceChildren();
    pane.labels = pane.tracks.map((one) => {
      const label = element("span", {}, pane.caption);
      label.style.borderBottomColor = one.colour;
      label.style.borderBottomStyle = one.dash;
      return label;
    });
    pane.host.setAttribute("role", "img");
    const names = pane.tracks.map((one) => one.caption).join(" and ");
    pane.host.setAttribute("aria-label", `3D view of the molecule: ${names}`);
  });
}

function populate(view, pane) {
  const { data } = view;
  pane.gl.removeAllModels();
  pane.models = pane.tracks.map(() => {
    const model = pane.gl.addModel();
    model.addAtoms(
      data.elements.map((elem, serial) => ({
        elem, serial, x: 0, y: 0, z: 0, bonds: [], bondOrder: [],
      })),
    );
    return model;
  });
  pane.gl.setClickable({}, true, (atom) => pick(view, atom.index));
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

const NEAREST = 4, FARTHEST = 400; // Å from the camera to the middle of the molecule

function wheeled(view, pane, event) {
  event.preventDefault();
  event.stopPropagation();
  if (!pane.gl) return;
  const factor = event.deltaY < 0 ? 1.12 : 1 / 1.12, state = pane.gl.getView();
  const distance = 150 - state[3]; // 3Dmol's camera stands at z = 150
  state[3] = 150 - Math.min(FARTHEST, Math.max(NEAREST, distance / factor));
  view.panes.forEach((other) => other.gl?.setView(state));
}

function fit_views(view) {
  view.held = false;
  for (const pane of view.panes) {
    if (!pane.gl || pane.figure.hidden) continue;
    fit(pane);
    pane.gl.render();
  }
}

function fit(pane) {
  pane.gl.zoomTo();
  const { clientWidth: wide, clientHeight: high } = pane.host;
  pane.gl.zoom(1.75 * Math.min(1, wide / Math.max(1, high)));
}

// Turn so that the pair that broke or clashed lies across the longer side of the view, all of it in.
function face_failure(view, index) {
  const { broken } = view.data.panes[index], pane = view.panes[view.overlay ? 0 : index];
  if (!broken || !pane?.gl) return;
  const atoms = pane.models[view.overlay ? index : 0].selectedAtoms({});
  const [one, two] = broken.map((atom) => atoms[atom]);
  const v = [two.x - one.x, two.y - one.y, two.z - one.z], long = Math.hypot(...v) || 1;
  const [x, y, z] = v.map((part) => part / long), upright = pane.host.clientHeight > pane.host.clientWidth;
  // The quaternion that takes (x, y, z) to e = (1, 0, 0) or (0, 1, 0): axis v × e, half the angle.
  const q = upright ? [-z, 0, x, 1 + y] : [0, z, -y, 1 + x], norm = Math.hypot(...q);
  const before = pane.gl.getView();
  fit(pane);
  const whole = pane.gl.getView();
  pane.gl.setView(before);
  const place = [...whole.slice(0, 3), Math.min(before[3], whole[3])];
  turn_to(view, before, [...place, ...(norm > 1e-3 ? q.map((part) => part / norm) : [0, 0, 1, 0])]);
}

// While playing, at a failure that comes into view, unless the reader has turned the molecule.
function turn_at_failure(view, before) {
  if (view.held) return;
  const index = view.data.panes.findIndex(
    ({ broken, failed }) => broken && failed > before && failed <= view.frame,
  );
  if (index >= 0) face_failure(view, index);
}

const TURN = 400; // ms of a turn of the camera

// Take all cameras from one view (place, distance, quaternion) to another, the short way round.
function turn_to(view, from, to) {
  const begun = performance.now();
  const dot = [4, 5, 6, 7].reduce((sum, k) => sum + from[k] * to[k], 0), sign = dot < 0 ? -1 : 1;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  cancelAnimationFrame(view.camera);
  const step = (now) => {
    const share = calm ? 1 : Math.min(1, (now - begun) / TURN);
    const mixed = to.map((part, k) => (1 - share) * from[k] + share * (k < 4 ? 1 : sign) * part);
    const long = Math.hypot(...mixed.slice(4)) || 1;
    const turned = mixed.map((part, k) => (k < 4 ? part : part / long));
    view.panes.forEach((other) => other.gl?.setView(turned));
    film_frame(view);
    if (share < 1 && view.root.isConnected) view.camera = requestAnimationFrame(step);
    view.root.dataset.turned = String(share === 1);
  };
  view.camera = requestAnimationFrame(step);
}

function place(view, pane, frame) {
  const { data } = view, overlay = pane.tracks.length > 1;
  pane.tracks.forEach((track, index) => {
    const over = track.failed >= 0 && frame >= track.failed;
    pane.labels[index].textContent = over ? `${track.caption}: ${track.ending}` : track.caption;
    // A trajectory ends at its failure: what stays is its last frame, faded.
    pane.host.classList.toggle("over", track.failed >= 0 && frame > track.failed);
  });
  if (!pane.models.length) return;
  pane.gl.removeAllShapes();
  pane.tracks.forEach((track, index) => {
    const atoms = pane.models[index].selectedAtoms({});
    const count = data.elements.length;
    const shown = track.failed >= 0 ? Math.min(frame, track.failed) : frame;
    for (let i = 0; i < count; i += 1) {
      const at = 3 * (shown * count + i);
      const xyz = [track.xyz[at], track.xyz[at + 1], track.xyz[at + 2]];
      if (xyz.every(Number.isFinite)) [atoms[i].x, atoms[i].y, atoms[i].z] = xyz;
    }
    bond(atoms, data);
    pane.models[index].setStyle({}, look(view, track, overlay, shown));
    draw_arrows(view, pane, track, atoms, shown);
    const over = track.failed >= 0 && frame >= track.failed;
    if (over && track.broken) {
      unbond(atoms, ...track.broken);
      dashes(pane, atoms, track.broken, data.failure, 0.09);
    }
    if (!overlay || !index) mark_chosen(view, pane, atoms);
  });
  pane.gl.render();
}

function look(view, track, overlay, frame) {
  // Over each other only the colour of the head tells two molecules apart.
  if (overlay) {
    return { stick: { radius: 0.09, color: track.colour }, sphere: { scale: 0.17, color: track.colour } };
  }
  const by_error = painted_by_error(view, track, frame);
  if (by_error) return by_error;
  const map = { ...window.$3Dmol.elementColors.Jmol, ...view.data.colours };
  const colorscheme = { prop: "elem", map };
  return { stick: { radius: 0.13, colorscheme }, sphere: { scale: 0.26, colorscheme } };
}

function dashes(pane, atoms, chain, color, radius) {
  for (let k = 0; k + 1 < chain.length; k += 1) {
    const [one, two] = [atoms[chain[k]], atoms[chain[k + 1]]];
    const ends = [one, two].map(({ x, y, z }) => ({ x, y, z }));
    pane.gl.addCylinder({ start: ends[0], end: ends[1], radius, color, dashed: true, dashLength: 0.18, gapLength: 0.12 });
  }
}

function mark_chosen(view, pane, atoms) {
  if (!view.chosen?.length) return;
  for (const index of view.chosen) {
    const { x, y, z } = atoms[index];
    pane.gl.addSphere({ center: { x, y, z }, radius: 0.55, color: view.data.mark, alpha: 0.45 });
  }
  dashes(pane, atoms, view.chosen, view.data.mark, 0.05);
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

function unbond(atoms, first, second) {
  for (const [one, other] of [[first, second], [second, first]]) {
    const at = atoms[one].bonds.indexOf(other);
    if (at >= 0) {
      atoms[one].bonds.splice(at, 1);
      atoms[one].bondOrder.splice(at, 1);
    }
  }
}
