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

// Return a generator of uniform random numbers (mulberry32).
function uniforms(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Return the first latents of a seed: standard normal numbers (Box-Muller).
function latentsOf(seed, count) {
  const draw = uniforms(seed >>> 0);
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
  return Array.from({ length: count }, () =>
    Float32Array.from({ length: latent_dim }, normal));
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
  latents = latentsOf(Number(byId("seed").value), IMAGES);
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
window.ladagan = { latentsOf, between, generate, session }; // for the host's scripts
