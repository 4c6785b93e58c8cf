// Loads packs, which packs.py writes, and undoes how they are packed.
"use strict";

const cellquilt = {
  waiting: new Map(),
  pack(key, parts) {
    this.waiting.get(key)?.(parts);
    this.waiting.delete(key);
  },
};

// Keeps what was made last, up to so many bytes; `make` promises [value, bytes].
class Kept {
  constructor(most) {
    this.most = most;
    this.bytes = 0;
    this.entries = new Map();
  }

  get(key, make) {
    let entry = this.entries.get(key);
    if (entry) {
      this.entries.delete(key);
    } else {
      entry = { bytes: 0 };
      entry.value = make().then(
        ([value, bytes]) => {
          entry.bytes = bytes;
          this.bytes += bytes;
          this.#forget();
          return value;
        },
        (error) => {
          this.entries.delete(key);
          throw error;
        },
      );
    }
    this.entries.set(key, entry);
    return entry.value;
  }

  #forget() {
    for (const [key, entry] of this.entries) {
      if (this.bytes <= this.most) return;
      if (!entry.bytes) continue;  // is being made
      this.entries.delete(key);
      this.bytes -= entry.bytes;
    }
  }
}

const packs = new Kept(64e6);

function pack(key) {
  return packs.get(key, () => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${key}.js`;
    script.onerror = () => {
      script.remove();
      cellquilt.waiting.delete(key);
      reject(new Error(`${key}.js cannot be read; copy the folder of the viewer as a whole.`));
    };
    cellquilt.waiting.set(key, (parts) => {
      script.remove();
      resolve([parts, parts.reduce((sum, part) => sum + part.length, 64)]);
    });
    document.head.append(script);
  }));
}

// Milliseconds of a frame that work may take: fewer while the view moves
const pace = { still: 40, moving: 9, now: 40 };

// Long work goes on after this in a task of its own, and takes part of each frame only.
const breath = (() => {
  const channel = new MessageChannel(), waiting = [];
  let begun = 0;
  channel.port1.onmessage = () => {
    if (performance.now() - begun < pace.now) waiting.shift()();
    else requestAnimationFrame(() => {
      begun = performance.now();
      channel.port2.postMessage(0);
    });
  };
  return () => new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(0);
  });
})();

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = binary.charCodeAt(k);
  return bytes;
}

async function inflated(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Levels of a tile, row by row, from differences to the row above.
async function pixels(text, width) {
  const levels = await inflated(text);
  await breath();
  for (let k = width; k < levels.length; k++) levels[k] += levels[k - width];
  return levels;
}

async function integers(text) {
  const bytes = await inflated(text);
  const planes = bytes[0] & 15, signed = bytes[0] & 16, sums = bytes[0] & 32;
  const n = (bytes.length - 1) / planes;
  const values = planes > 3 || sums ? new Float64Array(n) : new Int32Array(n);
  for (let plane = planes - 1; plane >= 0; plane--) {
    const from = 1 + plane * n;
    for (let k = 0; k < n; k++) values[k] = values[k] * 256 + bytes[from + k];
  }
  if (signed) for (let k = 0; k < n; k++) values[k] = values[k] % 2 ? -(values[k] + 1) / 2 : values[k] / 2;
  if (sums) for (let k = 1; k < n; k++) values[k] += values[k - 1];
  return values;
}
