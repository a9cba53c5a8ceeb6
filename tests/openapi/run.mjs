// run.mjs FILE - holds an OpenAPI document against the specification's own schema. Prints {"version", "valid", "errors"?} as JSON.
import {Validator} from "@seriousme/openapi-schema-validator";

const validator = new Validator();
const result = await validator.validate(process.argv[2]);
console.log(JSON.stringify({version: validator.version, ...result}));
