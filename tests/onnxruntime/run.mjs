// run.mjs MODEL SIDES PIXELS ANSWERS - runs an ONNX file in ONNX Runtime (WebAssembly): PIXELS is a file of uint8 in the shape
// SIDES ("[1000,1,28,28]"), ANSWERS is written as float32. Prints the output's shape and type as JSON.
import * as ort from "onnxruntime-web";
import {readFile, writeFile} from "node:fs/promises";

const [model, sides, pixels, answers] = process.argv.slice(2);
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(await readFile(model), {executionProviders: ["wasm"]});
const input = new ort.Tensor("uint8", new Uint8Array(await readFile(pixels)), JSON.parse(sides));
const {probabilities: out} = await session.run({pixels: input});
await writeFile(answers, Buffer.from(out.data.buffer, out.data.byteOffset, out.data.byteLength));
console.log(JSON.stringify({shape: out.dims, type: out.type, inputs: session.inputNames, outputs: session.outputNames}));
