// Distance of two chosen atoms or angle at the middle one of three, over time, under each head.

function measure_row(view) {
  const row = element("div", { class: "controls measure" }, view.root);
  element("span", {}, row, "Measure");
  view.atoms = [0, 1, 2].map((index) => {
    const label = ["first atom", "second atom", "third atom, for an angle"][index];
    const menu = element("select", { "aria-label": `Measure: ${label}` }, row);
    menu.onchange = () => {
      const chosen = view.atoms.map((one) => Number(one.value)).filter((atom) => atom >= 0);
      pick_all(view, [...new Set(chosen)]);
    };
    return menu;
  });
  view.measured = element("output", { "data-testid": "measured" }, row);
  return row;
}

function atom_names(data) {
  return data.elements.map((symbol, index) => `${symbol}${index + 1}`);
}

function fill_menus(view, data) {
  const names = atom_names(data);
  for (const menu of view.atoms) {
    menu.replaceChildren();
    ["–", ...names].forEach((name, index) =>
      element("option", { value: String(index - 1) }, menu, name),
    );
  }
}

// A click on an atom adds it; on a chosen one takes it away; on a fourth begins anew.
function pick(view, atom) {
  const { chosen } = view;
  if (chosen.includes(atom)) pick_all(view, chosen.filter((one) => one !== atom));
  else pick_all(view, chosen.length < 3 ? [...chosen, atom] : [atom]);
}

function pick_all(view, chosen) {
  view.chosen = chosen;
  view.atoms.forEach((menu, index) => (menu.value = String(chosen[index] ?? -1)));
  view.root.dataset.chosen = chosen.join(" ");
  measure(view);
  show(view, view.frame);
}

function measure(view) {
  const { data, chosen } = view;
  view.series = [];
  if (chosen.length < 2) {
    if (view.measure_chart) forget_plot(view, view.measure_chart);
    view.measure_chart = null;
    return;
  }
  const angle = chosen.length === 3, unit = angle ? "°" : "Å";
  const names = atom_names(data);
  const what = chosen.map((atom) => names[atom]).join("–");
  view.series = data.panes.map((pane) => {
    const values = new Float32Array(data.times.length).fill(NaN);
    const end = pane.failed >= 0 ? pane.failed + 1 : data.times.length;
    for (let frame = 0; frame < end; frame += 1) {
      const at = (atom) => {
        const from = 3 * (frame * data.elements.length + atom);
        return pane.xyz.subarray(from, from + 3);
      };
      values[frame] = angle ? angle_of(...chosen.map(at)) : distance_of(...chosen.map(at));
    }
    return {
      head: pane.head, replica: -1, name: `${pane.name} ${what}`, colour: pane.colour,
      dash: pane.dash, times: data.times, values,
    };
  });
  if (!data.figure) return;
  const title = `${what} (${unit})`, { layout } = view.figure;
  view.measure_chart ??= make_plot(view, "measure");
  view.measure_chart.host.classList.add("short");
  const traces = view.series.map((line) => ({
    x: [...line.times], y: [...line.values], name: line.name, mode: "lines",
    line: { color: line.colour, dash: DASHES[line.dash] },
    hovertemplate: `%{y:.4g} ${unit} at %{x:.4g} ps`,
  }));
  const plain = {
    template: layout.template, hovermode: "closest", showlegend: false, uirevision: title,
    margin: { ...layout.margin, t: 8, b: 24 }, xaxis: { range: layout.xaxis.range },
    yaxis: { title: { text: title } },
  };
  const alt = `${angle ? "Angle" : "Distance"} ${what} over time`;
  draw_plot(view, view.measure_chart, { data: traces, layout: plain }, alt);
}

const DASHES = { solid: "solid", dashed: "dash", dotted: "dot" };

function distance_of(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

function angle_of(a, b, c) {
  const u = [0, 1, 2].map((k) => a[k] - b[k]), v = [0, 1, 2].map((k) => c[k] - b[k]);
  const dot = u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
  const cosine = dot / (Math.hypot(...u) * Math.hypot(...v));
  return (180 / Math.PI) * Math.acos(Math.min(1, Math.max(-1, cosine)));
}

function say_measured(view) {
  if (!view.series.length) {
    const wanting = view.chosen.length ? "choose a second atom" : "click two atoms, or three for an angle";
    view.measured.textContent = wanting;
    return;
  }
  const unit = view.chosen.length === 3 ? "°" : " Å";
  view.measured.textContent = view.series
    .map((line) => {
      const value = line.values[view.frame];
      return `${line.name} ${Number.isFinite(value) ? value.toFixed(unit === "°" ? 1 : 3) + unit : "–"}`;
    })
    .join(", ");
}
