// Pictures to take away: a PNG of all molecules as they stand, and a WebM of the playback.

const FILM = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];

function picture_buttons(view, row) {
  const picture = element("button", { type: "button", "data-testid": "picture" }, row, "PNG");
  picture.onclick = () => compose(view).toBlob((blob) => save(blob, "molecules.png"));
  view.film_button = element("button", { type: "button", "data-testid": "film" }, row, "Video");
  view.film_button.title = "Plays once from the first frame and saves what is seen as WebM.";
  view.film_button.hidden = !film_type();
  view.film_button.onclick = () => (view.film ? play(view, false) : film(view));
}

function film_type() {
  return FILM.find((type) => window.MediaRecorder?.isTypeSupported(type));
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// All molecules as they are arranged on the page, with captions and the time, in one canvas.
function compose(view, canvas = null) {
  const stage = view.stage.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const foot = 26;
  canvas ??= element("canvas", {
    width: String(2 * Math.round((stage.width * ratio) / 2)), // even sides, as encoders want them
    height: String(2 * Math.round(((stage.height + foot) * ratio) / 2)),
  });
  const paper = canvas.getContext("2d");
  paper.setTransform(ratio, 0, 0, ratio, 0, 0);
  paper.fillStyle = colour(view.root, "background-color");
  paper.fillRect(0, 0, canvas.width, canvas.height);
  paper.font = "14px sans-serif";
  for (const pane of view.panes) {
    if (!pane.gl || pane.figure.hidden) continue;
    const at = pane.host.getBoundingClientRect(), [x, y] = [at.x - stage.x, at.y - stage.y];
    paper.globalAlpha = pane.host.classList.contains("over") ? 0.4 : 1;
    paper.drawImage(pane.host.querySelector("canvas"), x, y, at.width, at.height);
    paper.globalAlpha = 1;
    let line = pane.figure.getBoundingClientRect().y - stage.y + 20;
    pane.labels.forEach((label, index) => {
      paper.fillStyle = pane.tracks[index].colour;
      paper.fillRect(x + 8, line - 10, 10, 10);
      paper.fillStyle = colour(view.root, "text-color");
      line = write(paper, label.textContent, x + 24, line, at.width - 30);
    });
  }
  paper.fillStyle = colour(view.root, "text-color");
  paper.fillText(view.slider.getAttribute("aria-valuetext") ?? "", 8, stage.height + 18);
  return canvas;
}

// Text in lines no wider than this; where the next line begins.
function write(paper, text, x, y, width) {
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line ? `${line} ${word}` : word;
    if (line && paper.measureText(longer).width > width) {
      paper.fillText(line, x, y);
      [line, y] = [word, y + 18];
    } else line = longer;
  }
  paper.fillText(line, x, y);
  return y + 18;
}

function film(view) {
  play(view, false);
  show(view, 0);
  const canvas = compose(view), type = film_type();
  const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: type, videoBitsPerSecond: 6e6 });
  const parts = [];
  recorder.ondataavailable = ({ data }) => data.size && parts.push(data);
  recorder.onstop = () => {
    view.film = null;
    view.film_button.textContent = "Video";
    save(new Blob(parts, { type: type.split(";")[0] }), "molecules.webm");
  };
  recorder.start();
  view.film = { canvas, recorder, last: last_moving(view) };
  view.film_button.textContent = "Stop the video";
  play(view, true);
}

// A film ends with the run, or with the last failure where all that is shown has failed.
function last_moving(view) {
  const ends = view.data.panes.map(({ failed }) => (failed < 0 ? Infinity : failed));
  return Math.min(view.data.times.length - 1, Math.max(...ends));
}

function film_frame(view) {
  if (!view.film) return;
  compose(view, view.film.canvas);
  if (view.frame >= view.film.last) play(view, false);
}

// Called whenever the playback stops: the encoder gets a moment for the last frame.
function end_film(view) {
  const { recorder } = view.film ?? {};
  if (recorder?.state === "recording") setTimeout(() => recorder.state === "recording" && recorder.stop(), 250);
}
