// run.mjs - prints where axe-core's script for browsers lies.
import {createRequire} from "node:module";

console.log(createRequire(import.meta.url).resolve("axe-core/axe.min.js"));
