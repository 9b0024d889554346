// The cameras of the 3D views: all molecules are seen from the same side and distance.

const NEAREST = 4, FARTHEST = 400; // Å from the camera to the middle of the molecule

function wheeled(view, pane, event) {
  event.preventDefault();
  event.stopPropagation();
  if (!pane.gl) return;
  view.zoomed = true;
  const factor = event.deltaY < 0 ? 1.12 : 1 / 1.12, state = pane.gl.getView();
  const distance = 150 - state[3]; // 3Dmol's camera stands at z = 150
  state[3] = 150 - Math.min(FARTHEST, Math.max(NEAREST, distance / factor));
  view.panes.forEach((other) => other.gl?.setView(state));
}

// All of each molecule, seen along the direction in which the first is thinnest: atoms hide few others.
function fit_views(view) {
  view.held = view.zoomed = false;
  const shown = view.panes.filter((pane) => pane.models.length && !pane.figure.hidden);
  if (!shown.length) return;
  const turned = broadside(shown[0]);
  const found = shown.map((pane) => fitted(pane, turned));
  const away = Math.min(...found.map((one) => one[3])); // all from the distance of the farthest
  shown.forEach((pane, index) => {
    pane.gl.zoomTo(); // what is near and far enough to be drawn
    pane.gl.setView([...found[index].slice(0, 3), away, ...turned]);
  });
}

// The quaternion that lays the longest principal axis of a molecule along the longer side of its view
// and the shortest along the line of sight.
function broadside(pane) {
  const [, away] = spread(pane), long = widest(away);
  const first = across(pane, long);
  const wide = rotated(first, widest(away.map((one) => without(one, long))));
  const upright = is_upright(pane);
  // Then about that side, until the second axis lies along the other one.
  const half = 0.5 * (upright ? Math.atan2(wide[2], wide[0]) : -Math.atan2(wide[2], wide[1]));
  const second = upright ? [0, Math.sin(half), 0, Math.cos(half)] : [Math.sin(half), 0, 0, Math.cos(half)];
  return multiplied(ASIDE, multiplied(second, first));
}

// A little from above and from the side: atoms on both sides of a plane of symmetry do not hide each other.
const ASIDE = multiplied([Math.sin(0.2), 0, 0, Math.cos(0.2)], [0, Math.sin(0.17), 0, Math.cos(0.17)]);

// The middle of all atoms in a view, and where they are from there.
function spread(pane) {
  const atoms = pane.models.flatMap((model) => model.selectedAtoms({})).map(({ x, y, z }) => [x, y, z]);
  const middle = [0, 1, 2].map((k) => atoms.reduce((sum, atom) => sum + atom[k], 0) / atoms.length);
  return [middle, atoms.map((atom) => atom.map((part, k) => part - middle[k]))];
}

// The unit vector along which vectors extend most, by power iteration on their second moments.
function widest(vectors) {
  let v = [0.8, 0.5, 0.33];
  for (let step = 0; step < 60; step += 1) {
    const next = [0, 0, 0];
    for (const one of vectors) {
      const part = one[0] * v[0] + one[1] * v[1] + one[2] * v[2];
      one.forEach((x, k) => (next[k] += part * x));
    }
    const norm = Math.hypot(...next);
    if (norm < 1e-9) break; // a single atom, or atoms in a line
    v = next.map((x) => x / norm);
  }
  return v;
}

const without = (v, unit) => {
  const part = v[0] * unit[0] + v[1] * unit[1] + v[2] * unit[2];
  return v.map((x, k) => x - part * unit[k]);
};

const is_upright = ({ host }) => host.clientHeight > host.clientWidth;

// The quaternion that turns v to the longer side e of a view, (1, 0, 0) or (0, 1, 0): axis v × e, half
// the angle.
function across(pane, v) {
  const norm = Math.hypot(...v) || 1, [x, y, z] = v.map((part) => part / norm);
  const q = is_upright(pane) ? [-z, 0, x, 1 + y] : [0, z, -y, 1 + x], size = Math.hypot(...q);
  return size > 1e-3 ? q.map((part) => part / size) : [0, 0, 1, 0];
}

function multiplied([a, b, c, d], [x, y, z, w]) {
  return [
    d * x + a * w + b * z - c * y, d * y - a * z + b * w + c * x,
    d * z + a * y - b * x + c * w, d * w - a * x - b * y - c * z,
  ];
}

function rotated(q, v) {
  const inverse = [-q[0], -q[1], -q[2], q[3]];
  return multiplied(multiplied(q, [...v, 0]), inverse).slice(0, 3);
}

const SEEN = Math.tan(Math.PI / 18); // half the height that 3Dmol's camera sees, at distance 1
const ROOM = 1.25; // for a molecule that moves, and turns
const ATOM = 0.5; // Å, the radius of an atom as it is drawn

// The view (place, distance, quaternion) with all of the molecule in it, seen as `turned`.
function fitted(pane, turned) {
  const [middle, away] = spread(pane), seen = away.map((one) => rotated(turned, one));
  const [wide, high] = [0, 1].map((k) => ATOM + Math.max(...seen.map((one) => Math.abs(one[k]))));
  const half = ROOM * Math.max(high, (wide * pane.host.clientHeight) / Math.max(1, pane.host.clientWidth));
  const distance = Math.min(FARTHEST, Math.max(NEAREST, half / SEEN));
  return [...middle.map((part) => -part), 150 - distance, ...turned];
}

// A view of another size is fitted again, unless the reader has chosen what is in it.
function resize_views(view) {
  let changed = false;
  for (const pane of view.panes) {
    if (!pane.gl || pane.figure.hidden) continue;
    const size = `${pane.host.clientWidth} ${pane.host.clientHeight}`;
    changed ||= pane.size !== size;
    pane.size = size;
    pane.gl.resize();
  }
  if (changed && !view.held && !view.zoomed) fit_views(view);
}

// Turn so that the pair that broke or clashed lies across the longer side of the view, all of it in.
function face_failure(view, index) {
  const { broken } = view.data.panes[index], pane = view.panes[view.overlay ? 0 : index];
  if (!broken || !pane?.gl) return;
  const atoms = pane.models[view.overlay ? index : 0].selectedAtoms({});
  const [one, two] = broken.map((atom) => atoms[atom]);
  const turned = across(pane, [two.x - one.x, two.y - one.y, two.z - one.z]);
  const before = pane.gl.getView(), whole = fitted(pane, turned);
  pane.gl.zoomTo();
  pane.gl.setView(before);
  whole[3] = Math.min(before[3], whole[3]);
  turn_to(view, before, whole);
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
