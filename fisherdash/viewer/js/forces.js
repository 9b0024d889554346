// Forces as arrows, and atoms coloured by their error: the row below the molecules that asks for
// both. Where the data hold none, the server is asked for them once.

const RAMP = [[143, 163, 184], [229, 163, 58], [196, 22, 74]]; // small to large errors
const ARROW = 1.5; // Å of an arrow that four of five do not exceed

function looks_row(view) {
  const row = element("div", { class: "controls looks" }, view.root);
  view.arrow_button = element("button", { type: "button", "data-testid": "arrows", "aria-pressed": "false" }, row, "Force arrows");
  view.arrow_button.onclick = () => look_at(view, !view.arrows, view.painted);
  view.paint = element("select", { "aria-label": "Colour of atoms", "data-testid": "paint" }, row);
  element("option", { value: "element" }, view.paint, "Atoms by element");
  element("option", { value: "error" }, view.paint, "Atoms by force difference");
  view.paint.onchange = () => look_at(view, view.arrows, view.paint.value === "error");
  view.scale = element("span", { class: "scale", "data-testid": "force-scale" }, row);
  picture_buttons(view, row);
  return row;
}

function look_at(view, arrows, painted) {
  Object.assign(view, { arrows, painted });
  const wanted = arrows || painted;
  if (wanted !== view.asked && view.data.offers.length) view.tell?.("forces", wanted);
  view.asked = wanted;
  say_forces(view);
  show(view, view.frame);
}

// Scales of the arrows and colours: the same for all molecules and times, so that they compare.
function take_forces(view, data) {
  const found = { strength: [], error: [] };
  for (const pane of data.panes) {
    pane.own = pane.forces && decode(pane.forces);
    pane.other = pane.against && decode(pane.against);
    if (pane.own) found.strength = found.strength.concat(Array.from(lengths(pane.own)));
    if (pane.own && pane.other) {
      pane.error = lengths(pane.own.map((value, at) => value - pane.other[at]));
      found.error = found.error.concat(Array.from(pane.error));
    }
  }
  data.strong = round_up(typical(found.strength, 0.8) / ARROW); // eV/Å for each Å of an arrow
  data.worst = round_up(typical(found.error, 0.95));
  data.has_forces = found.strength.length > 0;
  data.has_errors = found.error.length > 0;
  const offered = (what, there) => there || data.offers.includes(what);
  view.arrow_button.hidden = !offered("forces", data.has_forces);
  view.paint.hidden = !offered("error", data.has_errors);
  if (view.paint.hidden) view.painted = false;
  view.asked = data.has_forces || (view.asked && data.offers.length > 0);
  say_forces(view);
}

function say_forces(view) {
  const { data } = view;
  view.arrow_button.setAttribute("aria-pressed", String(Boolean(view.arrows)));
  view.paint.value = view.painted ? "error" : "element";
  view.scale.replaceChildren();
  const missing = (view.arrows && !data.has_forces) || (view.painted && !data.has_errors);
  if (missing) element("span", {}, view.scale, "waiting for the forces");
  if (view.arrows && data.has_forces) {
    const beside = data.panes.some((pane) => pane.other && pane.labelled) ? ", grey: the data's" : "";
    element("span", {}, view.scale, `1 Å of an arrow: ${data.strong} eV/Å${beside}`);
  }
  if (!view.painted || !data.has_errors) return;
  element("span", {}, view.scale, `${data.judged}: 0`);
  const stops = RAMP.map((colour) => `rgb(${colour})`).join(", ");
  element("i", { style: `background: linear-gradient(to right, ${stops})` }, view.scale);
  element("span", {}, view.scale, `${data.worst} eV/Å`);
}

function lengths(vectors) {
  const found = new Float32Array(vectors.length / 3);
  found.forEach((_, i) => (found[i] = Math.hypot(vectors[3 * i], vectors[3 * i + 1], vectors[3 * i + 2])));
  return found;
}

// What this share of the finite values does not exceed.
function typical(values, share) {
  const finite = values.filter(Number.isFinite).sort((a, b) => a - b);
  return finite[Math.floor(share * (finite.length - 1))] || 1;
}

function round_up(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return Number(([1, 1.5, 2, 3, 5, 7, 10].find((step) => step * power >= value) * power).toPrecision(2));
}

function error_colour(share) {
  if (!Number.isFinite(share)) return "#888888";
  const at = Math.min(0.999, Math.max(0, share)) * (RAMP.length - 1), low = Math.floor(at);
  const mixed = RAMP[low].map((part, k) => Math.round(part + (at - low) * (RAMP[low + 1][k] - part)));
  return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

// The style of atoms by the error of their forces in this frame; nothing where none is known.
function painted_by_error(view, track, frame) {
  if (!view.painted || !track.error) return null;
  const from = frame * view.data.elements.length;
  const colorfunc = (atom) => error_colour(track.error[from + atom.index] / view.data.worst);
  return { stick: { radius: 0.13, colorfunc }, sphere: { scale: 0.26, colorfunc } };
}

function draw_arrows(view, pane, track, atoms, frame) {
  if (!view.arrows) return;
  if (track.other && track.labelled) arrows_of(view, pane, track.other, "#8a9099", atoms, frame, 0.05);
  if (track.own) arrows_of(view, pane, track.own, track.colour, atoms, frame, 0.065);
}

function arrows_of(view, pane, forces, color, atoms, frame, radius) {
  atoms.forEach(({ x, y, z }, i) => {
    const at = 3 * (frame * atoms.length + i);
    const long = [0, 1, 2].map((k) => forces[at + k] / view.data.strong);
    const length = Math.hypot(...long);
    if (!Number.isFinite(length) || length < 0.05) return;
    const kept = Math.min(length, 3 * ARROW); // an explosion does not fill the screen
    const edge = 0.2 + 0.28 * view.data.radii[i]; // from the surface of the atom's ball
    const at_distance = (far) => ({
      x: x + (far * long[0]) / length, y: y + (far * long[1]) / length, z: z + (far * long[2]) / length,
    });
    pane.gl.addArrow({
      start: at_distance(edge), end: at_distance(edge + kept),
      radius, radiusRatio: 2.2, mid: Math.max(0.4, 1 - 0.3 / kept), color,
    });
  });
}
