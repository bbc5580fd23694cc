// The picture of an explorer, in the page.
//
// The kernel sends each picture as bytes. It is decoded before it replaces the last one, so nothing
// flickers, and a picture that was overtaken while it was decoded is never shown. Pictures of a
// moving slider are JPEG; when none has followed for REST milliseconds the slider rests, and the
// page asks for a sharp one, at its own number of pixels per CSS pixel.

const REST = 250;
const FINEST = 3;

function render({ model, el }) {
  el.classList.add("course-picture");
  const image = el.appendChild(document.createElement("img"));
  const problem = el.appendChild(document.createElement("p"));
  const spoken = el.appendChild(document.createElement("p"));
  image.setAttribute("role", "img");
  problem.setAttribute("role", "alert");
  spoken.setAttribute("role", "status");
  spoken.className = "course-spoken";

  const ratio = () => Math.min(Math.max(window.devicePixelRatio, 1), FINEST);
  let timer = null;
  let url = null;

  function sharpenAtRest() {
    clearTimeout(timer);
    if (model.get("error") || model.get("ratio") === ratio()) return;
    timer = setTimeout(() => model.send({ type: "sharpen", ratio: ratio() }), REST);
  }

  async function showPicture() {
    const frame = model.get("frame");
    const sharp = model.get("ratio") > 0;
    const alt = model.get("alt");
    const bytes = model.get("picture");
    if (!bytes || !bytes.byteLength) return;
    const next = URL.createObjectURL(new Blob([bytes], { type: model.get("format") }));
    const decoded = new Image();
    decoded.src = next;
    try {
      await decoded.decode();
    } catch {
      return URL.revokeObjectURL(next);
    }
    if (frame !== model.get("frame")) return URL.revokeObjectURL(next);
    image.src = next;
    image.alt = alt;
    image.width = model.get("width");
    if (url) URL.revokeObjectURL(url);
    url = next;
    if (sharp && el.dataset.frame) spoken.textContent = alt;
    el.dataset.frame = frame;
    el.dataset.sharp = sharp;
    sharpenAtRest();
  }

  function showProblem() {
    problem.textContent = model.get("error");
    el.classList.toggle("course-dimmed", Boolean(model.get("error")));
    sharpenAtRest();
  }

  model.on("change:frame", showPicture);
  model.on("change:error", showProblem);
  window.addEventListener("resize", sharpenAtRest); // zooming the page changes its ratio
  showPicture();
  showProblem();

  const stopNaming = nameSliders(el);
  return () => {
    stopNaming();
    clearTimeout(timer);
    window.removeEventListener("resize", sharpenAtRest);
    model.off("change:frame", showPicture);
    model.off("change:error", showProblem);
    if (url) URL.revokeObjectURL(url);
  };
}

// ipywidgets gives the handle of a slider no name, and says the position of a logarithmic one as
// its exponent: take the name from the label beside it and the value from the number it shows.
function nameSliders(el) {
  const naming = new MutationObserver(name);
  const attached = new ResizeObserver(start);
  attached.observe(el);

  function start() {
    const explorer = el.closest(".course-explorer");
    if (!explorer) return;
    attached.disconnect();
    const options = { subtree: true, childList: true, characterData: true };
    for (const controls of explorer.querySelectorAll(".course-controls")) {
      naming.observe(controls, { ...options, attributeFilter: ["aria-valuetext"] });
    }
    name();
  }

  function name() {
    const explorer = el.closest(".course-explorer");
    // JupyterLab would take the arrow keys, to move to another cell, and letters, to cut this one.
    for (const control of explorer?.querySelectorAll(".noUi-handle, select, input, button") ?? []) {
      set(control, "data-lm-suppress-shortcuts", "true");
    }
    for (const handle of explorer?.querySelectorAll(".course-controls .noUi-handle") ?? []) {
      const row = handle.closest(".widget-slider");
      const label = row?.querySelector(".widget-label")?.textContent ?? "";
      const readout = row?.querySelector(".widget-readout");
      set(handle, "aria-label", label);
      if (!readout) continue;
      set(handle, "aria-valuetext", readout.textContent);
      set(readout, "role", "textbox");
      set(readout, "aria-label", `${label}, typed`);
    }
  }

  function set(element, attribute, value) {
    if (element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
  }

  return () => {
    naming.disconnect();
    attached.disconnect();
  };
}

export default { render };
