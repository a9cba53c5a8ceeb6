// run.mjs FILE - what others make of an OpenAPI document, as JSON: {"validator": {"version", "valid", "errors"?}, by the specification's
// own schema; "lint": what `redocly lint` finds by its recommended rules and by those of Spectral's oas rules that it has not on;
// "clients": what `tsc --strict` finds in the clients that openapi-typescript and oazapfts make of it, and in client.ts, which calls them}.
import {writeFileSync} from "node:fs";
import {dirname, join} from "node:path";
import {fileURLToPath, pathToFileURL} from "node:url";
import {createConfig, lint} from "@redocly/openapi-core";
import {Validator} from "@seriousme/openapi-schema-validator";
import {generateSource} from "oazapfts";
import openapiTS, {astToString} from "openapi-typescript";
import ts from "typescript";

const file = process.argv[2];
const here = dirname(fileURLToPath(import.meta.url));

async function validate() {
  const validator = new Validator();
  const result = await validator.validate(file);
  return {version: validator.version, ...result};
}

async function findings() {
  const config = await createConfig({
    extends: ["recommended"],
    rules: {"info-contact": "error", "operation-description": "error"},
  });
  const problems = await lint({ref: file, config});
  return problems.map((problem) => `${problem.ruleId}: ${problem.message} ${problem.location[0].pointer}`);
}

async function clients() {
  writeFileSync(join(here, "types.ts"), astToString(await openapiTS(pathToFileURL(file))));
  writeFileSync(join(here, "api.ts"), await generateSource(file));
  const program = ts.createProgram([join(here, "client.ts")], {
    strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler, lib: ["lib.es2022.d.ts", "lib.dom.d.ts"], types: [], skipLibCheck: true,
  });
  return ts.getPreEmitDiagnostics(program).map((found) => {
    const line = found.file?.getLineAndCharacterOfPosition(found.start).line;
    return `${found.file?.fileName}:${line + 1}: ${ts.flattenDiagnosticMessageText(found.messageText, " ")}`;
  });
}

console.log(JSON.stringify({validator: await validate(), lint: await findings(), clients: await clients()}));
