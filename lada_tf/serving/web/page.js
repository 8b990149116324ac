// Run the generator in the visitor's browser with ONNX Runtime's WebAssembly. It uses one
// thread unless the host isolates the page (COOP and COEP headers).
import * as ort from "./onnxruntime/ort.wasm.bundle.min.mjs";

const IMAGES = 24;
const wasm = new URL("./onnxruntime/ort-wasm-simd-threaded.wasm", import.meta.url);
ort.env.wasm.wasmPaths = { wasm: wasm.href };
if (!self.crossOriginIsolated) ort.env.wasm.numThreads = 1;

const byId = (id) => document.getElementById(id);
const { latent_dim, image_size } = await (await fetch("model.json")).json();
const session = await ort.InferenceSession.create("generator.onnx");

// Return the high 32 bits of a product of two 32-bit numbers.
function highProduct(a, b) {
  const [al, ah, bl, bh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = ah * bl + ((al * bl) >>> 16);
  const low = al * bh + (middle & 0xffff);
  return (ah * bh + Math.floor(middle / 65536) + (low / 65536)) >>> 0;
}

// Return the four words of Philox4x32-10. Keys and counters are pairs: low, high.
function philox([k0, k1], [c0, c1], [c2, c3]) {
  for (let round = 0; round < 10; round++) {
    [c0, c1, c2, c3] = [
      highProduct(0xcd9e8d57, c2) ^ c1 ^ k0, Math.imul(0xcd9e8d57, c2),
      highProduct(0xd2511f53, c0) ^ c3 ^ k1, Math.imul(0xd2511f53, c0),
    ].map((word) => word >>> 0);
    [k0, k1] = [(k0 + 0x9e3779b9) >>> 0, (k1 + 0xbb67ae85) >>> 0];
  }
  return [c0, c1, c2, c3];
}

const words = (number) => [number >>> 0, Math.floor(number / 2 ** 32)];

// Return the latent that every program of lada_tf draws for a seed and an index: see
// lada_tf.sampling.latents. Seeds are whole numbers below 2^53.
function latentOf(seed, index) {
  const latent = new Float32Array(latent_dim);
  for (let i = 0; i < latent_dim; i += 4) {
    const [w0, w1, w2, w3] = philox(words(seed), words(i / 4), words(index));
    const normal = [[w0, w1], [w2, w3]].flatMap(([u, v]) => {
      const radius = Math.sqrt(-2 * Math.log((u + 0.5) / 2 ** 32));
      const angle = 2 * Math.PI * (v / 2 ** 32);
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    });
    latent.set(normal.slice(0, latent_dim - i), i);
  }
  return latent;
}

// Return the first latents of a seed.
function latentsOf(seed, count) {
  return Array.from({ length: count }, (_, index) => latentOf(seed, index));
}

// Return a point on the straight line or the arc between two latents.
function between(a, b, t, arc) {
  let [from, to] = [1 - t, t];
  if (arc) {
    const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
    const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
    if (angle > 1e-6) {
      from = Math.sin((1 - t) * angle) / Math.sin(angle);
      to = Math.sin(t * angle) / Math.sin(angle);
    }
  }
  return a.map((value, i) => from * value + to * b[i]);
}

// Return the image of a latent as the pixels of a canvas.
async function generate(latent) {
  const latents = new ort.Tensor("float32", latent, [1, latent_dim]);
  const { images } = await session.run({ latents }, ["images"]);
  const pixels = new Uint8ClampedArray(4 * image_size * image_size).fill(255);
  images.data.forEach((value, i) => {
    pixels[4 * Math.floor(i / 3) + (i % 3)] = Math.round(127.5 * value + 127.5);
  });
  return new ImageData(pixels, image_size, image_size);
}

// Canvases to draw, one after the other. A canvas keeps only its latest latent.
const pending = new Map();
let drawing = null;

function draw(canvas, latent) {
  pending.set(canvas, latent);
  drawing ??= drawAll();
  return drawing;
}

async function drawAll() {
  byId("state").textContent = "Drawing …";
  for (const [canvas, latent] of pending) {
    pending.delete(canvas);
    const image = await generate(latent);
    canvas.width = canvas.height = image_size;
    canvas.getContext("2d").putImageData(image, 0, 0);
  }
  byId("state").textContent = "";
  drawing = null;
}

let latents = [];
let ends = [0, 1];
const canvases = () => [...byId("gallery").children];

function showGallery() {
  const field = byId("seed");
  if (!field.reportValidity()) return drawing; // no whole number in the field's range
  latents = latentsOf(Number(field.value), IMAGES);
  showBetween();
  canvases().forEach((canvas, i) => draw(canvas, latents[i]));
  return drawing;
}

function showBetween() {
  canvases().forEach((canvas, i) => canvas.classList.toggle("chosen", ends.includes(i)));
  const [a, b] = ends.map((i) => latents[i]);
  const t = Number(byId("position").value);
  return draw(byId("between"), between(a, b, t, byId("arc").checked));
}

function choose(i) {
  ends = [ends[1], i];
  showBetween();
}

for (let i = 0; i < IMAGES; i++) {
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.ariaLabel = `Image ${i + 1}`;
  canvas.onclick = () => choose(i);
  canvas.onkeydown = (event) => event.key === "Enter" && choose(i);
  byId("gallery").append(canvas);
}
byId("seed").onchange = showGallery;
byId("dice").onclick = () => {
  byId("seed").value = Math.floor(Math.random() * 4294967296);
  showGallery();
};
byId("position").oninput = byId("arc").onchange = showBetween;
byId("play").onclick = async () => {
  for (let i = 0; i <= 60; i++) {
    byId("position").value = (1 - Math.cos((i / 30) * Math.PI)) / 2;
    await showBetween();
    await new Promise(requestAnimationFrame);
  }
};
await showGallery();
window.ladagan = { latentOf, latentsOf, between, generate, session }; // for the host's scripts
