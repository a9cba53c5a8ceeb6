// worker.mjs MODEL EXCHANGE - the model that convd exported, in ONNX Runtime's native library, one thread.
//
// EXCHANGE is what bench_core wrote (bench_core.c says what that is). First it proves that both compute the same: the probabilities of all images,
// one at a time and as one batch. Then prints "ready VERSION" and answers
//
//     forward N   nanoseconds for each of N calls with one image
//     batch N     nanoseconds for each image of N calls with all images
//     call N      nanoseconds for each of N calls of a model that is one Identity: what node and the library's entrance take of any call
//
// Time is processor time of the process, as in bench_core.
import {createRequire} from "node:module";
import {readFileSync} from "node:fs";
import {createInterface} from "node:readline";
import * as ort from "onnxruntime-node";

const WARM_IMAGES = 256; // before the clock starts
const TOLERANCE = 1e-4;
const SIDE = 28, KERNELS = 16 * 25, HIDDEN = 128, POSITIONS = 576;
const ONE_THREAD = {intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: "sequential", graphOptimizationLevel: "all"};

// ---- a model of one Identity, float32 [1]: protobuf by hand, each length below 128 ----

const field = (number, ...parts) => {
    const bytes = parts.flatMap((part) => (typeof part === "string" ? [...Buffer.from(part)] : part));
    return [(number << 3) | 2, bytes.length, ...bytes];
};
const count = (number, value) => [number << 3, value];
const port = (number, name) => field(number, field(1, name), field(2, field(1, count(1, 1), field(2, field(1, count(1, 1))))));
const node = field(1, field(1, "x"), field(2, "y"), field(4, "Identity"));
const IDENTITY = Uint8Array.from([...count(1, 7), ...field(7, node, field(2, "g"), port(11, "x"), port(12, "y")), ...field(8, count(2, 13))]);

// ---- what both work on ----

const [model, exchange] = process.argv.slice(2);
const bytes = readFileSync(exchange);
const n = bytes.readUInt32LE(0), classes = bytes.readUInt32LE(4), size = SIDE * SIDE;
const pixels = new Uint8Array(bytes.subarray(16, 16 + n * size));
const at = 16 + n * size + 4 * n + 4 * (KERNELS + POSITIONS * HIDDEN + HIDDEN * classes);
const wanted = Array.from({length: n * classes}, (_, i) => bytes.readFloatLE(at + 4 * i));
const feed = (first, many) => ({pixels: new ort.Tensor("uint8", pixels.slice(first * size, (first + many) * size), [many, 1, SIDE, SIDE])});

const session = await ort.InferenceSession.create(model, ONE_THREAD);
const identity = await ort.InferenceSession.create(IDENTITY, ONE_THREAD);
const images = Array.from({length: n}, (_, i) => feed(i, 1)), all = [feed(0, n)], nothing = [{x: new ort.Tensor("float32", new Float32Array(1), [1])}];
const verbs = {forward: [session, images, 1], batch: [session, all, n], call: [identity, nothing, 1]};

async function prove() {
    let worst = 0;
    for (const [feeds, many] of [[images, 1], [all, n]])
        for (const [i, one] of feeds.entries()) {
            const {data} = (await session.run(one)).probabilities;
            if (data.length !== many * classes)
                throw new Error(`${data.length} probabilities instead of ${many * classes}`);
            data.forEach((p, j) => { worst = Math.max(worst, Math.abs(p - wanted[i * many * classes + j])); });
        }
    console.error(`worker.mjs: largest difference from convd's core: ${worst.toExponential(1)}`);
    if (!(worst <= TOLERANCE))
        throw new Error("ONNX Runtime and convd's core do not compute the same thing");
}

async function time([one, feeds, many], calls) {
    for (let i = 0; i < WARM_IMAGES; i += many)
        await one.run(feeds[i % feeds.length]);
    const start = process.cpuUsage();
    for (let i = 0; i < calls; i++)
        await one.run(feeds[i % feeds.length]);
    const {user, system} = process.cpuUsage(start);
    return (user + system) * 1000 / (calls * many);
}

await prove();
console.log("ready", createRequire(import.meta.url)("onnxruntime-node/package.json").version);
for await (const line of createInterface({input: process.stdin})) {
    const [verb, calls] = line.split(" ");
    console.log((await time(verbs[verb], Number(calls))).toFixed(3));
}
