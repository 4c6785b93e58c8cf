// Tiles of the slide: the chosen channels in their colours, added up.
"use strict";

const TILE = 512;

class Channels {
  constructor(slide) {
    this.slide = slide;
    this.planes = new Kept(96e6);
    this.shown = slide.channels.map((channel) => ({
      on: channel.active,
      colour: channel.colour,
      from: channel.shown[0],
      to: channel.shown[1],
    }));
  }

  levels(channel, zoom, x, y, width) {
    const { side } = this.slide;
    return this.planes.get(`${channel}/${zoom}/${x}/${y}`, async () => {
      const [row, column] = [Math.floor(y / side), Math.floor(x / side)];
      const parts = await pack(`tiles/${channel}/${zoom}-${row}-${column}`);
      const levels = await pixels(parts[(y % side) * side + (x % side)], width);
      return [levels, levels.length + 64];
    });
  }

  // What each level of a channel adds to red, green and blue.
  tables(channel) {
    const { low, high, exact } = this.slide.channels[channel];
    const { colour, from, to } = this.shown[channel];
    const tables = [1, 3, 5].map(() => new Uint8Array(256));
    for (let level = 0; level < 256; level++) {
      const value = exact ? low + level : low + (level / 255) ** 2 * (high - low);
      const share = to > from ? Math.min(1, Math.max(0, (value - from) / (to - from))) : +(value >= to);
      tables.forEach((table, k) => {
        table[level] = Math.round(share * parseInt(colour.slice(1 + 2 * k, 3 + 2 * k), 16));
      });
    }
    return tables;
  }

  async draw(context, zoom, x, y) {
    const { width, height } = context.canvas;
    const on = this.shown.flatMap((shown, channel) => (shown.on ? [channel] : []));
    const levels = await Promise.all(on.map((channel) => this.levels(channel, zoom, x, y, width)));
    await breath();
    const image = context.createImageData(width, height);
    const data = image.data;  // clamped
    new Uint32Array(data.buffer).fill(0xff000000);
    on.forEach((channel, k) => {
      const [red, green, blue] = this.tables(channel);
      const of = levels[k];
      for (let p = 0, q = 0; p < of.length; p++, q += 4) {
        const level = of[p];
        data[q] += red[level];
        data[q + 1] += green[level];
        data[q + 2] += blue[level];
      }
    });
    context.putImageData(image, 0, 0);
  }
}

// One of OpenSeadragon's images, whose tiles `draw(context, zoom, x, y)` paints, again when asked;
// zoom 0 is the slide's pixels, 1 half as many, -1 twice as many.
class Layer {
  constructor(name, slide, finest, draw) {
    this.draw = draw;
    this.live = new Map();
    this.revision = 0;
    const size = (zoom) => [slide.width, slide.height].map((length) => Math.ceil(length / 2 ** zoom));
    let coarsest = 0;
    while (Math.max(...size(coarsest)) > TILE) coarsest++;
    const [width, height] = size(finest);
    this.source = {
      width, height, tileSize: TILE, minLevel: 0, maxLevel: coarsest - finest,
      getTileUrl: (level, x, y) => `${name}/${level}/${x}/${y}`,
      downloadTileStart: async (job) => {
        const [zoom, x, y] = [coarsest - job.tile.level, job.tile.x, job.tile.y];
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = size(zoom).map((all, k) => Math.min(TILE, all - [x, y][k] * TILE));
        const tile = { context: canvas.getContext("2d", { willReadFrequently: true }), zoom, x, y };
        const { revision } = this;
        try {
          await this.#paint(tile);
          this.live.set(job.tile, tile);
        } catch (error) {
          complain(error);
          job.fail(String(error), null);
          return;
        }
        job.finish(tile.context, null, "context2d");
        if (revision !== this.revision) this.#paint(tile).catch(complain);  // what changed meanwhile
      },
      downloadTileAbort: () => {},
    };
  }

  // Drawing may take several frames, so that what is shown changes at its end only.
  async #paint(tile) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [tile.context.canvas.width, tile.context.canvas.height];
    const drawn = canvas.getContext("2d", { willReadFrequently: true });
    await this.draw(drawn, tile.zoom, tile.x, tile.y);
    tile.context.globalCompositeOperation = "copy";
    tile.context.drawImage(canvas, 0, 0);
  }

  // Paint all tiles again, those of the zoom in view first.
  async repaint(viewer, zoom) {
    const revision = ++this.revision;
    const tiles = [...this.live.values()].sort((a, b) => Math.abs(a.zoom - zoom) - Math.abs(b.zoom - zoom));
    for (const tile of tiles) {
      if (revision !== this.revision) return;
      await this.#paint(tile).catch(complain);
      viewer.forceRedraw();
    }
  }
}
