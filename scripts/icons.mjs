// node scripts/icons.mjs: draws images/*.png and tasks/*/icon.png. Shapes are distance functions, sampled 16 times a pixel; PNG by zlib.
import { deflateSync } from 'node:zlib';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './lib/setup.mjs';

// ---- distance functions; coordinates run from 0 to 1, y down; below zero is inside ----
const circle = (cx, cy, r) => (x, y) => Math.hypot(x - cx, y - cy) - r;
const box = (cx, cy, w, h, r) => (x, y) => {
  const [dx, dy] = [Math.abs(x - cx) - w / 2 + r, Math.abs(y - cy) - h / 2 + r];
  return Math.hypot(Math.max(dx, 0), Math.max(dy, 0)) + Math.min(Math.max(dx, dy), 0) - r;
};
const stroke = (points, width) => (x, y) => {
  let best = Infinity;
  for (let i = 1; i < points.length; i += 1) {
    const [[ax, ay], [bx, by]] = [points[i - 1], points[i]];
    const [dx, dy] = [bx - ax, by - ay];
    const t = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)));
    best = Math.min(best, Math.hypot(x - ax - t * dx, y - ay - t * dy));
  }
  return best - width / 2;
};
const polygon =
  (points, round = 0) =>
  (x, y) => {
    let inside = false;
    let best = Infinity;
    for (let i = 0, j = points.length - 1; i < points.length; j = i, i += 1) {
      const [[ax, ay], [bx, by]] = [points[j], points[i]];
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
      const [dx, dy] = [bx - ax, by - ay];
      const t = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)));
      best = Math.min(best, Math.hypot(x - ax - t * dx, y - ay - t * dy));
    }
    return (inside ? -best : best) - round;
  };

// ---- colours ----
const mix = (a, b, t) => a.map((value, i) => value + (b[i] - value) * t);
const white = [255, 255, 255];
const blues = [
  [0, 120, 212],
  [92, 45, 145],
];
const greens = [
  [16, 137, 62],
  [0, 120, 140],
];
const purples = [
  [92, 45, 145],
  [196, 49, 116],
];
const gradient =
  ([from, to]) =>
  (x, y) =>
    mix(from, to, Math.min(1, Math.max(0, (x + y) / 2)));

// ---- pictures: layers from back to front ----
const tile = (colours) => ({ shape: box(0.5, 0.5, 0.98, 0.98, 0.2), colour: gradient(colours) });
const flat = (shape, colour = white) => ({ shape, colour: () => colour });
const graph = [
  flat(
    stroke(
      [
        [0.24, 0.5],
        [0.5, 0.27],
        [0.76, 0.5],
      ],
      0.055,
    ),
  ),
  flat(
    stroke(
      [
        [0.24, 0.5],
        [0.5, 0.73],
        [0.76, 0.5],
      ],
      0.055,
    ),
  ),
  flat(circle(0.24, 0.5, 0.095)),
  flat(circle(0.5, 0.27, 0.095)),
  flat(circle(0.5, 0.73, 0.095)),
];
const pictures = {
  extension: [
    tile(blues),
    ...graph,
    flat(circle(0.77, 0.5, 0.165)),
    flat(
      stroke(
        [
          [0.695, 0.505],
          [0.755, 0.56],
          [0.85, 0.44],
        ],
        0.05,
      ),
      [76, 64, 165],
    ),
  ],
  run: [
    tile(blues),
    flat(
      stroke(
        [
          [0.2, 0.28],
          [0.2, 0.72],
        ],
        0.07,
      ),
    ),
    flat(circle(0.2, 0.25, 0.1)),
    flat(circle(0.2, 0.75, 0.1)),
    flat(
      polygon(
        [
          [0.42, 0.26],
          [0.82, 0.5],
          [0.42, 0.74],
        ],
        0.05,
      ),
    ),
  ],
  register: [
    tile(greens),
    flat(
      polygon(
        [
          [0.5, 0.18],
          [0.8, 0.34],
          [0.5, 0.5],
          [0.2, 0.34],
        ],
        0.02,
      ),
    ),
    flat(
      polygon(
        [
          [0.18, 0.42],
          [0.46, 0.57],
          [0.46, 0.84],
          [0.18, 0.69],
        ],
        0.02,
      ),
      [205, 240, 228],
    ),
    flat(
      polygon(
        [
          [0.82, 0.42],
          [0.54, 0.57],
          [0.54, 0.84],
          [0.82, 0.69],
        ],
        0.02,
      ),
      [170, 220, 205],
    ),
  ],
  promote: [
    tile(purples),
    flat(box(0.24, 0.74, 0.16, 0.2, 0.04)),
    flat(box(0.47, 0.66, 0.16, 0.36, 0.04)),
    flat(box(0.7, 0.62, 0.16, 0.44, 0.04)),
    flat(
      polygon(
        [
          [0.7, 0.14],
          [0.86, 0.36],
          [0.54, 0.36],
        ],
        0.03,
      ),
    ),
  ],
};

const samples = 4;
function draw(layers, size) {
  const pixels = Buffer.alloc(size * size * 4);
  for (let py = 0; py < size; py += 1) {
    for (let px = 0; px < size; px += 1) {
      let [r, g, b, a] = [0, 0, 0, 0];
      for (let s = 0; s < samples * samples; s += 1) {
        const x = (px + ((s % samples) + 0.5) / samples) / size;
        const y = (py + (Math.floor(s / samples) + 0.5) / samples) / size;
        const layer = layers.findLast(({ shape }) => shape(x, y) <= 0);
        if (!layer || layers[0].shape(x, y) > 0) continue;
        const colour = layer.colour(x, y);
        [r, g, b, a] = [r + colour[0], g + colour[1], b + colour[2], a + 1];
      }
      const at = (py * size + px) * 4;
      if (a > 0) pixels.set([r / a, g / a, b / a, (255 * a) / samples ** 2].map(Math.round), at);
    }
  }
  return pixels;
}

// ---- PNG (RGBA, 8 bit, no interlace) ----
const table = Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});
const crc = (bytes) => (bytes.reduce((c, byte) => table[(c ^ byte) & 0xff] ^ (c >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0;
function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc(body));
  return Buffer.concat([length, body, check]);
}
function png(pixels, size) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header.set([8, 6, 0, 0, 0], 8);
  const rows = Array.from({ length: size }, (_, y) =>
    Buffer.concat([Buffer.from([0]), pixels.subarray(y * size * 4, (y + 1) * size * 4)]),
  );
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.concat(rows), { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

mkdirSync(join(root, 'images'), { recursive: true });
const files = [
  ['extension', 128, 'images/icon.png'],
  ['extension', 512, 'images/icon-large.png'],
  ['run', 32, 'tasks/RunAmlPipeline/icon.png'],
  ['register', 32, 'tasks/RegisterModel/icon.png'],
  ['promote', 32, 'tasks/PromoteModel/icon.png'],
];
for (const [picture, size, file] of files) {
  const path = join(root, file);
  if (!existsSync(join(path, '..'))) mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, png(draw(pictures[picture], size), size));
  console.error(`${file} ${size}x${size}`);
}
if (process.argv[2])
  for (const [name, layers] of Object.entries(pictures))
    writeFileSync(join(process.argv[2], `${name}.png`), png(draw(layers, 256), 256));
