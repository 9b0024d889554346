// Charts over time, drawn by Plotly.js on nodes that stay while their data change.
//
// A reader's zoom is carried through updates by hand: `uirevision` was seen to lose it in some of
// them (Plotly.js of Python's 7.1, two axes of time that match). The moment that the molecules show is a line
// above the plot: as a shape of the layout it would cost a redraw at every frame.

const NO_PLOTLY =
  "The chart needs plotly.min.js from the server, which did not answer: reload this page.";
const CONFIG = {
  displaylogo: false, doubleClick: false, doubleClickDelay: 1000, scrollZoom: false, responsive: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "resetScale2d"],
  toImageButtonOptions: { format: "svg" },
};

function make_plot(view, id) {
  const host = element("div", { class: "plot", "data-testid": `chart-${id}` }, view.charts);
  const node = element("div", { class: "node" }, host);
  const cursor = element("div", { class: "cursor", "aria-hidden": "true", hidden: "" }, host);
  const plot = { host, node, cursor, drawn: false };
  view.plots.push(plot);
  return plot;
}

function draw_plot(view, plot, { data, layout }, alt) {
  plot.host.setAttribute("aria-label", alt);
  plot.host.setAttribute("role", "figure");
  return plotly().then(
    async (Plotly) => {
      if (!view.root.isConnected) return;
      const begun = performance.now();
      await Plotly.react(plot.node, data, zoomed(plot, layout), CONFIG);
      view.root.dataset.redraw = String(Math.round(performance.now() - begun));
      if (!plot.drawn) listen(view, plot);
      plot.drawn = true;
      draw_cursors(view);
    },
    () => (plot.node.textContent = NO_PLOTLY),
  );
}

const AXES = ["xaxis", "xaxis2", "yaxis", "yaxis2"];
const same = (one, two) => one?.[0] === two?.[0] && one?.[1] === two?.[1];

// The layout with the ranges that the reader has chosen, those that differ from the ones given.
function zoomed(plot, layout) {
  const made = { ...layout, autosize: true }, given = plot.given ?? {};
  plot.given = {};
  for (const name of AXES) {
    if (!layout[name]?.range) continue;
    const [now, before] = [plot.node._fullLayout?.[name]?.range, given[name]];
    plot.given[name] = [...layout[name].range];
    const range = now && before && !same(now, before) ? now : layout[name].range;
    made[name] = { ...layout[name], range: [...range] };
  }
  return made;
}

function reset(plot) {
  const ranges = Object.entries(plot.given).map(([name, range]) => [`${name}.range`, [...range]]);
  window.Plotly.relayout(plot.node, Object.fromEntries(ranges));
}

function listen(view, plot) {
  plot.node.on("plotly_doubleclick", () => reset(plot));
  plot.node.on("plotly_click", ({ points: [point] }) => {
    const replica = point.customdata;
    seek(view, point.x, point.data.mode === "markers");
    if (Number.isInteger(replica)) choose(view, replica);
  });
  plot.node.on("plotly_relayout", () => draw_cursors(view));
  plot.node.on("plotly_afterplot", () => draw_cursors(view));
}

// A view that has left the page, or stands in a tab that is closed, has no size to take on.
function resize_plots(view) {
  if (!view.root.isConnected || !view.root.clientWidth) return;
  for (const plot of view.plots) if (plot.drawn) window.Plotly.Plots.resize(plot.node);
}

function forget_plot(view, plot) {
  view.plots = view.plots.filter((one) => one !== plot);
  if (plot.drawn) window.Plotly.purge(plot.node);
  plot.host.remove();
}

function receive_curves(view, data) {
  view.root.classList.toggle("linked", Boolean(data.figure));
  if (!data.figure) return;
  view.figure = JSON.parse(data.figure);
  view.main ??= make_plot(view, "drift");
  const { full } = view.figure.layout.meta;
  view.range.hidden = !full;
  if (!full) view.whole = false;
  fit_energy(view);
  draw_plot(view, view.main, view.figure, data.alt);
}

// A curve that leaves the axis says so: one click shows all of it, another what most do.
function fit_energy(view) {
  const { full, limits } = view.figure.layout.meta;
  view.figure.layout.yaxis.range = view.whole ? full : limits;
  view.range.textContent = view.whole ? "Typical range" : "Full range";
}

function draw_cursors(view) {
  const time = view.data?.times[view.frame] ?? 0;
  for (const { host, node, cursor, drawn } of view.plots) {
    const axis = drawn && node._fullLayout?.xaxis;
    if (!axis) continue;
    const x = axis.l2p(time), { t, h } = node._fullLayout._size;
    cursor.hidden = x < 0 || x > axis._length;
    cursor.style.transform = `translateX(${axis._offset + x}px)`;
    Object.assign(cursor.style, { top: `${t}px`, height: `${h}px` });
    host.dataset.cursor = String(Number(time.toPrecision(4)));
  }
}
