// client.ts - a program over the clients that are made of the document: it is compiled, never run.
import * as api from "./api";
import type {components, paths} from "./types";

type Body = paths["/predict"]["post"]["requestBody"]["content"]["application/json"];

export async function labelOf(image: components["schemas"]["Image"]): Promise<string | null> {
  const body: Body = {image};
  const {data} = await api.predict(body, {top: 2});
  if ("detail" in data) throw new Error(data.detail);
  return "predictions" in data ? null : data.label;
}

export const tune: components["schemas"]["Tune"] = {rate: 0.02, gradient: "jacobian"};
export const images: Body[] = [{image: {pixels: [0, 255]}}, {image: {pixels: [[0, 255]]}}, {images: [{b64: ""}]}];

// @ts-expect-error: no such member
export const wrong: Body = {image: {png: ""}};
// @ts-expect-error: no such setting
void api.tuneModel({speed: 1});
