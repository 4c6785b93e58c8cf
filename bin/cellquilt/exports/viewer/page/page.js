// The page: what is shown of slide and cells, and where.
"use strict";

const LINES = { cell: "#ffe14d", nucleus: "#38e1ff" };
const PALETTE = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#4b8bff", "#d55e00", "#cc79a7", "#e8ecf2"];
const RAMP = rampOf(["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"]);
const FINEST = -3;  // zoom to which outlines are drawn anew

function part(id) {
  return document.getElementById(id);
}

function made(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function complain(error) {
  part("problem").textContent = error.message ?? String(error);
  part("problem").hidden = false;
}

function rampOf(anchors) {
  const parts = anchors.map((anchor) => [1, 3, 5].map((k) => parseInt(anchor.slice(k, k + 2), 16)));
  return Array.from({ length: STEPS }, (_, step) => {
    const at = (step / (STEPS - 1)) * (parts.length - 1);
    const k = Math.min(Math.floor(at), parts.length - 2);
    const mixed = parts[k].map((low, c) => Math.round(low + (at - k) * (parts[k + 1][c] - low)));
    return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  });
}

function shortly(value) {
  if (value === null) return "";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(5)));
}

// A line that is seen on any ground
function outline(context, path, colour, thick) {
  context.beginPath();
  path();
  for (const [extra, ink] of [[1, "#000"], [0, colour]]) {
    context.lineWidth = thick * (1 + extra);
    context.strokeStyle = ink;
    context.stroke();
  }
}

function write(context, text, x, y, most, px) {
  context.lineWidth = 3 * px;
  context.strokeStyle = "#000";
  context.fillStyle = "#fff";
  context.strokeText(text, x, y, most);
  context.fillText(text, x, y, most);
}

cellquilt.show = (slide) => {
  const channels = new Channels(slide);
  const cells = new Cells(slide);
  const pictures = new Layer("slide", slide, 0, (...tile) => channels.draw(...tile));
  const outlines = new Layer("cells", slide, FINEST, (...tile) => cells.draw(...tile));
  const places = { regions: slide.regions.length > 0, patches: false };
  let chosen = null, isOpen = false;

  document.title = `${slide.sample} · Cellquilt viewer`;
  part("sample").textContent = slide.sample;
  const n = cells.blocks.reduce((sum, [count]) => sum + count, 0);
  part("about").textContent = `${slide.image}: ${slide.width.toLocaleString("en")} x ` +
    `${slide.height.toLocaleString("en")} px of ${shortly(slide.mpp)} µm; ${n.toLocaleString("en")} cells`;
  part("provenance").textContent = JSON.stringify({ cellquilt: slide.cellquilt, steps: slide.provenance }, null, 1);

  const viewer = OpenSeadragon({
    element: part("slide"), drawer: "canvas", showNavigationControl: false, prefixUrl: "",
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: true },
    timeout: 600000, maxImageCacheCount: 160, imageLoaderLimit: 6, maxZoomPixelRatio: 4, minPixelRatio: 0.8, minZoomImageRatio: 0.8,
    visibilityRatio: 0.3, animationTime: 0.4, preserveImageSizeOnResize: true,
  });
  viewer.addHandler("tile-unloaded", ({ tile }) => {
    pictures.live.delete(tile);
    outlines.live.delete(tile);
  });

  const place = () => {
    const { x, y } = viewer.viewport.getCenter(true);
    const zoom = (viewer.viewport.getZoom(true) * viewer.viewport.getContainerSize().x) / slide.width;
    return { x: x * slide.width, y: y * slide.width, zoom };
  };
  const inView = () => Math.max(FINEST, -Math.log2(place().zoom * devicePixelRatio));
  const repaint = (layer) => layer.repaint(viewer, inView());
  const go = (x, y, zoom) => {
    viewer.viewport.zoomTo((zoom * slide.width) / viewer.viewport.getContainerSize().x, null, true);
    viewer.viewport.panTo(new OpenSeadragon.Point(x / slide.width, y / slide.width), true);
  };

  // Where the page is, as #x,y,zoom;cell=12;by=cell_area_um2
  const address = () => {
    const { x, y, zoom } = place();
    const parts = [[Math.round(x), Math.round(y), Number(zoom.toPrecision(4))].join(",")];
    if (chosen) parts.push(`cell=${chosen.id}`);
    if (cells.colouring) parts.push(`by=${encodeURIComponent(cells.colouring.column.name)}`);
    return `#${parts.join(";")}`;
  };
  const follow = async (hash) => {
    const [where, ...others] = hash.slice(1).split(";");
    const given = new Map(others.map((other) => other.split("=")));
    const [x, y, zoom] = where.split(",").map(Number);
    const isPlace = [x, y, zoom].every(Number.isFinite) && zoom > 0;
    if (isPlace) go(x, y, zoom);
    const by = decodeURIComponent(given.get("by") ?? "");
    if (by in cells.by && by !== cells.colouring?.column.name) colourBy(by);
    if (given.has("cell")) await goTo(Number(given.get("cell")), !isPlace);
  };
  const remember = () => {
    if (isOpen && location.hash !== address()) history.replaceState(null, "", address());
  };

  const choose = async (cell) => {
    chosen = cell;
    mark();
    const rows = cell ? await cells.row(cell) : [];
    if (chosen !== cell) return;  // another one meanwhile
    part("chosen").textContent = cell ? `Cell ${cell.id}` : "No cell chosen";
    part("hint").hidden = Boolean(cell);
    part("row").tBodies[0].replaceChildren(...rows.map(({ name, value, colour }) => {
      const shown = made("td", { textContent: shortly(value) });
      if (colour) {
        const swatch = made("span", { className: "swatch" });
        swatch.style.background = colour;
        shown.prepend(swatch, " ");
      }
      return made("tr", {}, made("th", { scope: "row", textContent: name }), shown);
    }));
    remember();
  };
  const chooseAt = (point) => cells.at(point.x * slide.width, point.y * slide.width).then(choose).catch(complain);
  const goTo = async (id, moves = true) => {
    const cell = await cells.withId(id);
    if (cell && moves) {
      const [x0, y0, x1, y1] = cell.block.layers[0].boxes.slice(4 * cell.k);
      go((x0 + x1) / 2, (y0 + y1) / 2, Math.max(place().zoom, 4));
    }
    await choose(cell);
    if (!cell) part("chosen").textContent = `No cell ${id} here`;
  };

  // The chosen cell, over all else
  const mark = () => {
    const canvas = part("marks"), context = canvas.getContext("2d");
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * devicePixelRatio));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const { x, y, zoom } = place(), scale = zoom * devicePixelRatio;
    context.setTransform(scale, 0, 0, scale, width / 2 - x * scale, height / 2 - y * scale);
    const px = devicePixelRatio / scale;
    context.font = `${14 * px}px system-ui, sans-serif`;
    if (places.patches) {
      for (const [left, top, across, down, words] of slide.patches) {
        outline(context, () => context.rect(left, top, across, down), words.length ? "#ff6b4a" : "#c8d0dc", 1.5 * px);
        if (words.length && across > 90 * px) write(context, words.join(", ").replaceAll("_", " "), left + 6 * px, top + 18 * px, across, px);
      }
    }
    if (places.regions) {
      slide.regions.forEach(({ name, rings }, k) => {
        outline(context, () => rings.forEach((ring) => {
          for (let c = 0; c < ring.length; c += 2) (c ? context.lineTo : context.moveTo).call(context, ring[c], ring[c + 1]);
        }), PALETTE[k % PALETTE.length], 3 * px);
        const [ring] = rings;
        if (ring) write(context, name, ring[0] + 6 * px, ring[1] + 18 * px, 400 * px, px);
      });
    }
    if (!chosen) return;
    context.beginPath();
    trace(context, chosen.block.layers[0], chosen.k, 1);
    for (const [thick, colour] of [[5, "#000"], [2.5, "#fff"]]) {
      context.lineWidth = (thick * devicePixelRatio) / scale;
      context.strokeStyle = colour;
      context.stroke();
    }
  };
  const measure = () => {
    const { x, y, zoom } = place();
    const um = (130 / zoom) * slide.mpp;
    const ten = 10 ** Math.floor(Math.log10(um));
    const length = [5, 2, 1].map((k) => k * ten).find((k) => k <= um);
    part("bar").style.width = `${(length / slide.mpp) * zoom}px`;
    part("length").textContent = length >= 1000 ? `${length / 1000} mm` : `${shortly(length)} µm`;
    part("where").textContent = `x ${Math.round(x)}, y ${Math.round(y)} px, zoom ${zoom.toPrecision(3)}`;
  };
  viewer.addHandler("update-viewport", () => {
    mark();
    measure();
  });
  viewer.addHandler("animation-start", () => (pace.now = pace.moving));
  viewer.addHandler("animation-finish", () => {
    pace.now = pace.still;
    remember();
  });
  viewer.addHandler("canvas-click", (event) => {
    if (event.quick) chooseAt(viewer.viewport.pointFromPixel(event.position));
  });
  viewer.canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") chooseAt(viewer.viewport.getCenter(true));
  });
  part("in").onclick = () => viewer.viewport.zoomBy(2);
  part("out").onclick = () => viewer.viewport.zoomBy(0.5);
  part("whole").onclick = () => viewer.viewport.goHome();
  part("link").onclick = () => {
    remember();
    navigator.clipboard?.writeText(location.href).then(() => (part("link").textContent = "Copied"), () => {});
  };
  part("find").onsubmit = (event) => {
    event.preventDefault();
    goTo(Number(part("id").value)).catch(complain);
  };

  // Channels
  slide.channels.forEach((channel, k) => {
    const shown = channels.shown[k];
    const checked = made("input", { type: "checkbox", id: `channel-${k}`, checked: shown.on });
    const colour = made("input", { type: "color", value: shown.colour, ariaLabel: `Colour of ${channel.name}` });
    const changed = () => {
      Object.assign(shown, { on: checked.checked, colour: colour.value });
      ends.hidden = !shown.on;
      return repaint(pictures);
    };
    checked.onchange = colour.oninput = changed;
    const ends = made("div", { className: "ends", hidden: !shown.on });
    for (const [end, name] of [["from", "black"], ["to", "brightest"]]) {
      // As the levels, sliders go by the root
      const share = (value) => Math.sqrt(Math.max(0, (value - channel.low) / (channel.high - channel.low)));
      const label = `Value shown ${name} of ${channel.name}`;
      const slider = made("input", { type: "range", min: 0, max: 1, step: 0.002, value: share(shown[end]), ariaLabel: label });
      const number = made("input", { type: "number", step: "any", value: shortly(shown[end]), ariaLabel: `${label}, as a number` });
      slider.oninput = () => {
        shown[end] = channel.low + slider.value ** 2 * (channel.high - channel.low);
        number.value = shortly(shown[end]);
        changed();
      };
      number.onchange = () => {
        shown[end] = Number(number.value);
        slider.value = share(shown[end]);
        changed();
      };
      ends.append(slider, number);
    }
    part("channels").append(made("li", {},
      made("div", { className: "name" }, checked, made("label", { htmlFor: checked.id, textContent: channel.name }), colour), ends));
  });

  // Cells
  for (const layer of cells.layers) {
    const shown = cells.shown[layer];
    const checked = made("input", { type: "checkbox", id: `layer-${layer}`, checked: shown.on });
    const words = { cell: "Outlines of cells", nucleus: "Outlines of nuclei" }[layer];
    const colour = made("input", { type: "color", value: shown.colour, ariaLabel: `Colour, ${words}` });
    checked.onchange = colour.oninput = () => {
      Object.assign(shown, { on: checked.checked, colour: colour.value });
      repaint(outlines);
    };
    part("layers").append(made("li", { className: "name" }, checked, made("label", { htmlFor: checked.id, textContent: words }), colour));
  }
  const of = { regions: "Regions of interest", patches: "Patches, and what is wrong with any" };
  for (const [name, words] of Object.entries(of)) {
    if (!slide[name].length) continue;
    const checked = made("input", { type: "checkbox", id: `show-${name}`, checked: places[name] });
    checked.onchange = () => {
      places[name] = checked.checked;
      mark();
    };
    part("places").append(made("li", { className: "name" }, checked, made("label", { htmlFor: checked.id, textContent: words })));
  }
  const groups = { flag: "Flags", text: "Kinds", number: "Measures" };
  for (const [kind, label] of Object.entries(groups)) {
    const members = cells.columns.filter((column) => (isListed(column) ? column.kind : "number") === kind);
    const options = members.map(({ name }) => made("option", { value: name, textContent: name }));
    if (options.length) part("by").append(made("optgroup", { label }, ...options));
  }
  const colourBy = (name) => {
    const column = cells.by[name];
    part("by").value = name;
    part("coloured").hidden = !column;
    cells.colouring = null;
    if (column) {
      const [from, to] = column.of
        ? cells.by[column.of].coloured.map((value) => value * column.factor)
        : column.coloured ?? [0, 1];
      cells.colouring = { column, from, to };
      part("from").value = shortly(from);
      part("to").value = shortly(to);
      const listed = isListed(column);
      part("ramp").hidden = part("from").parentElement.hidden = listed;
      const texts = listed ? column.texts ?? ["false", "true"] : [];
      part("legend").replaceChildren(...texts.map((text, code) => {
        const swatch = made("span", { className: "swatch" });
        swatch.style.background = cells.colour(cells.shade(code + 1));
        return made("li", {}, swatch, made("span", { textContent: text }));
      }));
    }
    repaint(outlines);
    if (chosen) choose(chosen).catch(complain);
    remember();
  };
  part("by").onchange = () => colourBy(part("by").value);
  part("from").onchange = part("to").onchange = () => {
    Object.assign(cells.colouring, { from: Number(part("from").value), to: Number(part("to").value) });
    repaint(outlines);
    if (chosen) choose(chosen).catch(complain);
  };
  part("opacity").oninput = () => {
    cells.opacity = part("opacity").value / 100;
    repaint(outlines);
  };
  const ramp = part("ramp").getContext("2d");
  RAMP.forEach((colour, k) => {
    ramp.fillStyle = colour;
    ramp.fillRect((k * 256) / STEPS, 0, 256 / STEPS, 1);
  });

  viewer.addTiledImage({ tileSource: pictures.source, width: 1 });
  viewer.addTiledImage({
    tileSource: outlines.source, width: 1,
    success: () => {
      viewer.viewport.goHome(true);
      isOpen = true;
      follow(location.hash).catch(complain);
    },
  });
  // By what the event says: the address may have changed again since
  addEventListener("hashchange", (event) => isOpen && follow(new URL(event.newURL).hash).catch(complain));
};
