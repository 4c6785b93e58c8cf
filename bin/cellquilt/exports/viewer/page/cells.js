// Cells: their outlines and rows, by blocks of the slide, drawn into tiles.
"use strict";

const OUTLINES_TO = 1;  // zoom (half as many pixels) beyond which cells are drawn as dots
const AT_ONCE = 200;  // cells that are drawn in a task
const STEPS = 64;  // of a colour ramp

class Cells {
  constructor(slide) {
    Object.assign(this, slide.cells);
    this.by = Object.fromEntries(this.columns.map((column) => [column.name, column]));
    this.kept = new Kept(160e6);
    this.shown = Object.fromEntries(this.layers.map((layer) => [layer, { on: true, colour: LINES[layer] }]));
    this.colouring = null;  // {column, from, to}
    this.opacity = 0.6;
  }

  // The outlines of a block: of each layer corners, rings (where in the corners each begins),
  // cells (where in the rings each begins) and boxes.
  block(number) {
    return this.kept.get(`${number}`, async () => {
      const [ids, ...arrays] = await Promise.all((await pack(`cells/${number}`)).map(integers));
      const layers = [];
      for (let k = 0; k < arrays.length; k += 5) {
        await breath();
        layers.push(outlinesOf(arrays.slice(k, k + 5)));
      }
      const bytes = layers.reduce((sum, layer) => sum + layer.corners.byteLength + 24 * ids.length, 64);
      return [{ ids, layers }, bytes];
    });
  }

  // A column's codes in a block, 0 for none.
  codes(number, column) {
    const stored = column.of ? this.by[column.of] : column;
    return this.kept.get(`${number}-${stored.name}`, async () => {
      const parts = await pack(`cells/${number}-${stored.group}`);
      const codes = await integers(parts[stored.place]);
      return [codes, codes.byteLength + 64];
    });
  }

  value(column, code) {
    if (column.of) {
      const value = this.value(this.by[column.of], code);
      return value === null ? null : value * column.factor;
    }
    if (!code) return null;
    if (column.kind === "flag") return code === 2;
    if (column.kind === "text") return column.texts[code - 1];
    if (column.kind === "whole") return column.low + code - 1;
    const share = (code - 1) / 65534;
    return column.low + (column.root ? share * share : share) * column.span;
  }

  // The colour of a code, as a number of the palette; -1 for none
  shade(code) {
    const { column, from, to } = this.colouring;
    const value = this.value(column, code);
    if (value === null) return -1;
    if (isListed(column)) return (code - 1) % PALETTE.length;
    const share = to > from ? (value - from) / (to - from) : +(value >= to);
    return Math.round(Math.min(1, Math.max(0, share)) * (STEPS - 1));
  }

  colour(shade) {
    if (shade < 0) return "#7b8494";
    const { column } = this.colouring;
    if (column.kind === "flag") return ["#5b6b80", "#ff5a36"][shade];
    return column.kind === "text" ? PALETTE[shade] : RAMP[shade];
  }

  reaching(x0, y0, x1, y1) {
    return this.blocks.flatMap(([, , , left, top, right, bottom], number) =>
      left < x1 && right > x0 && top < y1 && bottom > y0 ? [number] : []);
  }

  async draw(context, zoom, x, y) {
    const { width, height } = context.canvas;
    const scale = 2 ** -zoom;
    const [left, top] = [(x * TILE) / scale, (y * TILE) / scale];
    const box = [left, top, left + width / scale, top + height / scale];
    const outlined = zoom <= OUTLINES_TO;
    const numbers = outlined || this.colouring ? this.reaching(...box) : [];
    const found = await Promise.all(numbers.map((number) => (outlined ? this.#outlined(number) : this.#dotted(number))));
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
    for (const block of found) {
      if (outlined) await this.#drawOutlines(context, block, box, scale);
      else await this.#drawDots(context, block, box, scale);
    }
  }

  // The members of a block by the colour of their code.
  #shaded(members, codes) {
    const shades = new Map();
    for (const k of members) {
      const shade = this.shade(codes[k]);
      if (!shades.has(shade)) shades.set(shade, []);
      shades.get(shade).push(k);
    }
    return [...shades].map(([shade, found]) => [this.colour(shade), found]);
  }

  async #outlined(number) {
    const [block, codes] = await Promise.all([
      this.block(number), this.colouring && this.codes(number, this.colouring.column)]);
    return { ...block, codes };
  }

  async #dotted(number) {
    const places = ["x", "y"].map((axis) => this.by[`${this.layers[0]}_centroid_${axis}_px`]);
    const [xs, ys, codes] = await Promise.all(
      [...places, this.colouring.column].map((column) => this.codes(number, column)));
    return { places, xs, ys, codes };
  }

  async #drawOutlines(context, { layers, codes }, box, scale) {
    const stride = Math.max(1, Math.round(1 / scale));
    const [first] = layers;
    const inside = [];
    for (let k = 0, b = 0; b < first.boxes.length; k++, b += 4) {
      const [x0, y0, x1, y1] = [first.boxes[b], first.boxes[b + 1], first.boxes[b + 2], first.boxes[b + 3]];
      if (x0 < box[2] && x1 > box[0] && y0 < box[3] && y1 > box[1]) inside.push(k);
    }
    for (let from = 0; from < inside.length; from += AT_ONCE) {
      await breath();
      const members = inside.slice(from, from + AT_ONCE);
      if (codes) {
        context.globalAlpha = this.opacity;
        for (const [colour, alike] of this.#shaded(members, codes)) {
          context.beginPath();
          for (const k of alike) trace(context, first, k, stride);
          context.fillStyle = colour;
          context.fill("evenodd");
        }
        context.globalAlpha = 1;
      }
      layers.forEach((layer, number) => {
        const { on, colour } = this.shown[this.layers[number]];
        if (!on) return;
        context.beginPath();
        for (const k of members) trace(context, layer, k, stride);
        context.lineWidth = (scale >= 2 ? 2 : 1) / scale;
        context.strokeStyle = colour;
        context.stroke();
      });
    }
  }

  async #drawDots(context, { places, xs, ys, codes }, box, scale) {
    const side = Math.max(0.8 * this.dot, 1 / scale), half = side / 2 - 0.5;
    context.globalAlpha = Math.min(1, this.opacity + 0.2);
    for (const [colour, members] of this.#shaded(codes.keys(), codes)) {
      context.fillStyle = colour;
      for (const k of members) {
        const x = this.value(places[0], xs[k]) - half, y = this.value(places[1], ys[k]) - half;
        if (x < box[2] && y < box[3] && x + side > box[0] && y + side > box[1]) context.fillRect(x, y, side, side);
      }
    }
    context.globalAlpha = 1;
    await breath();
  }

  // The cell that has a pixel, as {number, k, id, block}, or null.
  async at(x, y) {
    const [px, py] = [Math.floor(x) + 0.5, Math.floor(y) + 0.5];
    for (const number of this.reaching(px, py, px, py)) {
      const block = await this.block(number);
      const [layer] = block.layers;
      for (let k = 0; k < block.ids.length; k++) {
        if (holds(layer, k, px, py)) return { number, k, id: block.ids[k], block };
      }
    }
    return null;
  }

  async withId(id) {
    for (const [number, [, first, last]] of this.blocks.entries()) {
      if (id < first || id > last) continue;
      const block = await this.block(number);
      const k = block.ids.indexOf(id);
      if (k >= 0) return { number, k, id, block };
    }
    return null;
  }

  // Names and values of a cell's row, with the colour of the one that colours.
  async row({ number, k, id }) {
    const values = await Promise.all(this.columns.map(async (column) => {
      const code = (await this.codes(number, column))[k];
      const colours = column === this.colouring?.column;
      return { name: column.name, value: this.value(column, code), colour: colours ? this.colour(this.shade(code)) : null };
    }));
    return [{ name: "cell_id", value: id, colour: null }, ...values];
  }
}

function isListed(column) {
  return column.kind === "flag" || column.kind === "text";
}

function outlinesOf([nRings, heads, xs, ys, lengths]) {
  const n = nRings.length;
  const rings = new Int32Array(heads.length + 1);
  for (let r = 0; r < heads.length; r++) rings[r + 1] = rings[r] + (heads[r] >> 1);
  const corners = new Int32Array(2 * rings[heads.length]);
  let next = 0, at = 0;
  for (let r = 0; r < heads.length; r++) {
    const count = heads[r] >> 1;
    let x = xs[r], y = ys[r], horizontal = heads[r] & 1;
    for (let side = 0; side < count; side++, horizontal ^= 1) {
      corners[at++] = x;
      corners[at++] = y;
      if (side < count - 2) {
        if (horizontal) x += lengths[next++];
        else y += lengths[next++];
      } else if (horizontal) x = xs[r];
      else y = ys[r];
    }
  }
  const cells = new Int32Array(n + 1);
  const boxes = new Int32Array(4 * n);
  for (let k = 0; k < n; k++) {
    cells[k + 1] = cells[k] + nRings[k];
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let c = rings[cells[k]]; c < rings[cells[k + 1]]; c++) {
      x0 = Math.min(x0, corners[2 * c]);
      x1 = Math.max(x1, corners[2 * c]);
      y0 = Math.min(y0, corners[2 * c + 1]);
      y1 = Math.max(y1, corners[2 * c + 1]);
    }
    if (nRings[k]) boxes.set([x0, y0, x1, y1], 4 * k);
  }
  return { corners, rings, cells, boxes };
}

function trace(context, { corners, rings, cells }, k, stride) {
  for (let r = cells[k]; r < cells[k + 1]; r++) {
    context.moveTo(corners[2 * rings[r]], corners[2 * rings[r] + 1]);
    for (let c = rings[r] + stride; c < rings[r + 1]; c += stride) context.lineTo(corners[2 * c], corners[2 * c + 1]);
    context.closePath();
  }
}

function holds({ corners, rings, cells, boxes }, k, x, y) {
  const b = 4 * k;
  if (x < boxes[b] || y < boxes[b + 1] || x > boxes[b + 2] || y > boxes[b + 3]) return false;
  let within = false;
  for (let r = cells[k]; r < cells[k + 1]; r++) {
    for (let c = rings[r], d = rings[r + 1] - 1; c < rings[r + 1]; d = c++) {
      // Sides that are vertical, to the left of the point and beside it
      const [y0, y1] = [corners[2 * c + 1], corners[2 * d + 1]];
      if (y0 > y !== y1 > y && corners[2 * c] < x) within = !within;
    }
  }
  return within;
}
