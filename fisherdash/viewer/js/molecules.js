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
