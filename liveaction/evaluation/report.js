"use strict";
const problems = [];
addEventListener("error", (event) => problems.push(`error: ${event.message}`));
addEventListener("unhandledrejection", (event) => problems.push(`promise: ${event.reason}`));
document.addEventListener("securitypolicyviolation", (event) => problems.push(`refused: ${event.blockedURI}`));

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// A select with a label; options are [value, words].
function choice(words, options, change) {
  const select = make("select", { onchange: () => change(select.value) });
  const fill = (list, value) => {
    select.replaceChildren(...list.map(([one, text]) => make("option", { value: one }, text)));
    if (value !== undefined) select.value = String(value);
  };
  fill(options);
  return { select, fill, label: make("label", {}, words, select) };
}

class Viewer {
  constructor(place, data) {
    Object.assign(this, { place, data, ratio: 0, left: 0, right: 0, kind: 0, mode: "slider", share: 50, zoom: "fit",
      gain: 8, blinked: false });
    this.pictures = data.kinds.map((kind, k) => [kind, k]).filter(([kind]) => kind.kind === "picture");
    this.sounds = data.kinds.map((kind, k) => [kind, k]).filter(([kind]) => kind.kind === "sound");
    this.build();
    this.pickRatio(Math.floor(data.ratios.length / 2));
  }

  build() {
    const ratios = this.data.ratios.map((entry, k) => [k, `about ${entry.ratio}`]);
    this.controls = {
      ratio: choice("Ratio", ratios, (value) => this.pickRatio(Number(value))),
      left: choice("Left", [], (value) => { this.left = Number(value); this.show(); }),
      right: choice("Right", [], (value) => { this.right = Number(value); this.show(); }),
      kind: choice("Picture", this.pictures.map(([kind, k]) => [k, kind.name]),
        (value) => { this.kind = Number(value); this.show(); }),
      zoom: choice("Zoom", [["fit", "to fit"], ...[1, 2, 4, 8].map((n) => [n, `${n} ×`])],
        (value) => { this.zoom = value; this.layOut(); }),
      gain: choice("Error times", [1, 2, 4, 8, 16, 32, 64].map((n) => [n, String(n)]),
        (value) => { this.gain = Number(value); this.drawError(); }),
    };
    this.controls.gain.select.value = "8";
    this.modes = Object.fromEntries([["slider", "Slider"], ["blink", "Blink (B)"], ["error", "Error"]].map(
      ([mode, words]) => [mode, make("button", { type: "button", onclick: () => this.setMode(mode) }, words)]));
    this.captions = [make("div"), make("div")];
    this.images = [make("img", { draggable: "false" }), make("img", { draggable: "false" })];
    this.canvas = make("canvas");
    this.edge = make("div", { class: "edge" });
    const drag = (event) => { if (event.buttons & 1 && this.mode === "slider") this.dragTo(event.clientX); };
    this.stage = make("div", { class: "stage", onpointerdown: drag, onpointermove: drag }, this.images[1],
      this.images[0], this.canvas, this.edge);
    this.frame = make("div", { class: "frame", tabindex: "0", role: "region", "aria-label": "Side by side" }, this.stage);
    this.slide = make("input", { type: "range", class: "slide", min: "0", max: "100", value: "50",
      "aria-label": "Share of the picture that shows the left codec", oninput: () => this.moveTo(this.slide.value) });
    this.players = make("div", { class: "players" });
    const c = this.controls;
    const pictures = make("div", { role: "group", "aria-label": "Pictures" },
      make("div", { class: "controls" }, c.kind.label, c.zoom.label,
        make("div", { class: "modes", role: "group", "aria-label": "How to compare" }, ...Object.values(this.modes)),
        c.gain.label),
      this.frame, this.slide);
    pictures.hidden = this.pictures.length === 0;
    this.place.append(make("h3", {}, "Side by side"),
      make("div", { class: "controls" }, c.ratio.label, c.left.label, c.right.label),
      make("div", { class: "sides" }, ...this.captions), this.players, pictures);
    if (this.pictures.length) this.kind = this.pictures[0][1];
    for (const image of this.images) image.addEventListener("load", () => { this.layOut(); this.drawError(); });
    addEventListener("resize", () => this.layOut());
  }

  pickRatio(number) {
    const before = [this.left, this.right].map((show) => this.data.shows[show].name);
    this.ratio = number;
    const shows = this.data.ratios[number].shows;
    const named = (name) => shows.find((show) => this.data.shows[show].name === name);
    this.left = named(before[0]) ?? shows[0];
    this.right = this.built ? named(before[1]) ?? shows.at(-1) : shows[Math.min(1, shows.length - 1)];
    this.built = true;
    const options = shows.map((show) => [show, this.data.shows[show].name]);
    this.controls.ratio.select.value = String(number);
    this.controls.left.fill(options, this.left);
    this.controls.right.fill(options, this.right);
    this.show();
  }

  show() {
    for (const [side, show] of [this.left, this.right].entries()) {
      const { name, note, files } = this.data.shows[show];
      this.captions[side].replaceChildren(make("b", {}, name), make("span", { class: "note" }, note));
      this.images[side].alt = `${this.data.kinds[this.kind]?.name ?? ""}, ${name}`;
      if (this.pictures.length) this.images[side].src = files[this.kind];
    }
    this.showSounds();
    this.setMode(this.mode);
  }

  showSounds() {
    this.players.replaceChildren(...this.sounds.flatMap(([kind, k]) => {
      const players = [this.left, this.right].map((show) => {
        const { name, files } = this.data.shows[show];
        return make("audio", { controls: "", preload: "metadata", src: files[k], "aria-label": `${kind.name}, ${name}` });
      });
      const swap = make("button", { type: "button", onclick: () => switchPlayer(players) }, "Switch, same place");
      const boxes = players.map((player, side) => make("div", {}, make("div", { class: "note" },
        `${kind.name}, ${side ? "right" : "left"}`), player));
      return [...boxes, swap];
    }));
  }

  setMode(mode) {
    this.mode = mode;
    clearInterval(this.timer);
    for (const [name, button] of Object.entries(this.modes)) button.setAttribute("aria-pressed", String(name === mode));
    this.slide.hidden = mode !== "slider";
    this.edge.hidden = mode !== "slider";
    this.canvas.hidden = mode !== "error";
    this.controls.gain.label.hidden = mode !== "error";
    if (mode === "blink") this.timer = setInterval(() => this.blink(), 1000);
    this.blinked = false;
    this.reveal(mode === "slider" ? this.share : 100);
    if (mode === "error") this.drawError();
  }

  blink() {
    this.blinked = !this.blinked;
    this.reveal(this.blinked ? 0 : 100);
  }

  reveal(share) {
    this.images[0].style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    this.edge.style.left = `${share}%`;
    const seen = this.mode !== "blink" ? [1, 1] : this.blinked ? [0.35, 1] : [1, 0.35];
    this.captions.forEach((caption, side) => { caption.style.opacity = seen[side]; });
  }

  moveTo(share) {
    this.share = Math.min(100, Math.max(0, Number(share)));
    this.slide.value = String(this.share);
    this.slide.setAttribute("aria-valuetext", `${Math.round(this.share)} % left`);
    this.reveal(this.share);
  }

  dragTo(x) {
    const box = this.stage.getBoundingClientRect();
    this.moveTo((100 * (x - box.left)) / box.width);
  }

  layOut() {
    const { naturalWidth: wide, naturalHeight: tall } = this.images[1];
    if (!wide) return;
    const high = tall * this.data.kinds[this.kind].aspect;
    const scale = this.zoom === "fit" ? Math.min((this.frame.clientWidth || wide) / wide, 640 / high) : Number(this.zoom);
    this.stage.style.width = `${wide * scale}px`;
    this.stage.style.height = `${high * scale}px`;
  }

  drawError() {
    const [one, two] = this.images;
    if (this.mode !== "error" || !one.naturalWidth || one.naturalWidth !== two.naturalWidth) return;
    const pixels = [one, two].map((image) => {
      const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, canvas.width, canvas.height);
    });
    const [a, b] = pixels.map((part) => part.data);
    for (let k = 0; k < a.length; k += 1) a[k] = k % 4 === 3 ? 255 : Math.abs(a[k] - b[k]) * this.gain;
    this.canvas.width = pixels[0].width;
    this.canvas.height = pixels[0].height;
    this.canvas.getContext("2d").putImageData(pixels[0], 0, 0);
  }
}

function switchPlayer(players) {
  const from = players[0].paused ? players[1] : players[0];
  const to = from === players[0] ? players[1] : players[0];
  to.currentTime = from.currentTime;
  from.pause();
  to.play();
}

function sortBy(button) {
  const head = button.closest("th");
  const body = button.closest("table").tBodies[0];
  const column = Number(button.dataset.column);
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const text = head.classList.contains("text");
  const rows = [...body.rows].sort((one, two) => {
    const [a, b] = [one, two].map((row) => row.cells[column].dataset.value);
    if (!a || !b) return Number(!a) - Number(!b);  // what is not known stays last
    return (text ? a.localeCompare(b) : Number(a) - Number(b)) * (up ? 1 : -1);
  });
  body.append(...rows);
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

const viewers = JSON.parse(document.getElementById("data").textContent).map(
  (data) => new Viewer(document.querySelector(`.viewer[data-source="${data.number}"]`), data));
for (const button of document.querySelectorAll("table.sortable thead button")) {
  button.addEventListener("click", () => sortBy(button));
}
document.getElementById("theme").addEventListener("click", toggleTheme);
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "b" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("select")) return;
  const seen = (viewer) => {
    const box = viewer.place.getBoundingClientRect();
    return box.top < innerHeight && box.bottom > 0;
  };
  const viewer = viewers.find((one) => one.place.contains(event.target)) ?? viewers.find(seen);
  if (viewer?.pictures.length) viewer.setMode(viewer.mode === "blink" ? "slider" : "blink");
});
