// report.html#selftest goes through what a reader does and leaves the outcome in <pre id="selftest">.
async function selftest() {
  const steps = {};
  const step = (name, good) => { steps[name] = Boolean(good); };
  for (const table of document.querySelectorAll("table.sortable")) {
    const button = [...table.querySelectorAll("thead button")].find((one) => !one.closest("th.text"));
    const column = Number(button.dataset.column);
    const read = () => [...table.tBodies[0].rows].map((row) => row.cells[column].dataset.value).filter(Boolean).map(Number);
    const before = read();
    for (const [name, sign] of [["ascending", 1], ["descending", -1]]) {
      button.click();
      const good = read().every((value, k, all) => k === 0 || sign * (value - all[k - 1]) >= 0);
      step(`sort ${name}: ${table.caption.textContent}`, good && read().length === before.length
        && button.closest("th").getAttribute("aria-sort") === name);
    }
  }
  for (const viewer of viewers) await selftestViewer(viewer, (name, good) => step(`${name}: ${viewer.data.source}`, good));
  const ink = getComputedStyle(document.body).color;
  toggleTheme();
  step("theme", getComputedStyle(document.body).color !== ink);
  toggleTheme();
  for (const image of document.querySelectorAll(".plot img")) step(`plot: ${image.alt}`, (await loaded(image)).naturalWidth > 0);
  const requests = performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith("data:"));
  const outcome = { steps, problems, requests, sources: viewers.map((viewer) => viewer.data.source) };
  document.body.prepend(make("pre", { id: "selftest" }, JSON.stringify(outcome)));
}

async function loaded(image) {
  if (!image.complete) await new Promise((done) => { image.onload = done; image.onerror = done; });
  return image;
}

// Red, green and blue of every pixel, without opacity.
function coloursOf(canvas) {
  const copy = make("canvas", { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return context.getImageData(0, 0, copy.width, copy.height).data.filter((_, k) => k % 4 !== 3);
}

async function selftestViewer(viewer, step) {
  const { data } = viewer;
  for (const [k, entry] of data.ratios.entries()) {
    viewer.pickRatio(k);
    step(`ratio ${entry.ratio}`, viewer.controls.left.select.options.length === entry.shows.length);
  }
  for (const player of viewer.players.querySelectorAll("audio")) {
    if (player.readyState < 1) await new Promise((done) => { player.onloadedmetadata = done; player.onerror = done; });
    step(`sound ${player.getAttribute("aria-label")}`, player.error === null && player.duration > 0);
  }
  for (const [kind, k] of viewer.pictures) {
    viewer.controls.kind.select.value = String(k);
    viewer.controls.kind.select.dispatchEvent(new Event("change"));
    await Promise.all(viewer.images.map(loaded));
    step(`picture ${kind.name}`, viewer.images.every((image) => image.naturalWidth > 0));
  }
  if (!viewer.pictures.length) return;
  viewer.layOut();
  const box = viewer.stage.getBoundingClientRect();
  const at = { clientX: box.left + box.width / 4, buttons: 1, bubbles: true };
  viewer.stage.dispatchEvent(new PointerEvent("pointermove", at));
  step("drag", Math.abs(viewer.share - 25) < 1 && viewer.images[0].style.clipPath.includes("75%"));
  viewer.slide.value = "60";
  viewer.slide.dispatchEvent(new Event("input"));
  step("slider", viewer.edge.style.left === "60%");
  viewer.slide.dispatchEvent(new KeyboardEvent("keydown", { key: "b", bubbles: true }));
  step("blink on", viewer.modes.blink.getAttribute("aria-pressed") === "true" && viewer.slide.hidden);
  const clip = viewer.images[0].style.clipPath;
  await new Promise((done) => { setTimeout(done, 1100); });
  step("blinks", viewer.images[0].style.clipPath !== clip);
  viewer.modes.error.click();
  step("error is drawn", coloursOf(viewer.canvas).some((value) => value > 0));
  viewer.right = viewer.left;
  viewer.show();
  await Promise.all(viewer.images.map(loaded));
  viewer.drawError();
  step("no error against itself", coloursOf(viewer.canvas).every((value) => value === 0));
  viewer.controls.zoom.select.value = "4";
  viewer.controls.zoom.select.dispatchEvent(new Event("change"));
  step("zoom", viewer.stage.offsetWidth === 4 * viewer.images[1].naturalWidth);
  viewer.setMode("slider");
}

if (location.hash === "#selftest") {
  selftest().catch((error) => document.body.prepend(make("pre", { id: "selftest" }, JSON.stringify({ failed: String(error), problems }))));
}
