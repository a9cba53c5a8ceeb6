"""An OpenAPI 3.1 document as tests need it: references, what is documented of an answer, and schemas that let nothing
undocumented through."""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema

METHODS = ("get", "post", "patch", "delete", "put")


class Document:
    def __init__(self, path: Path):
        self.root = json.loads(path.read_text(encoding="utf-8"))

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            node = self.at(node["$ref"])
        return node

    def at(self, reference: str):
        assert reference.startswith("#/"), reference
        node = self.root
        for word in reference[2:].split("/"):
            node = node[word.replace("~1", "/").replace("~0", "~")]
        return node

    def operations(self) -> Iterator[tuple[str, str, dict]]:
        for path, item in self.root["paths"].items():
            for method in METHODS:
                if method in item:
                    yield method.upper(), path, item[method]

    def operation(self, method: str, path: str) -> dict:
        return self.root["paths"][path][method.lower()]

    def parameters(self, method: str, path: str, place: str) -> dict[str, dict]:
        listed = self.root["paths"][path].get("parameters", []) + self.operation(method, path).get("parameters", [])
        return {p["name"]: p for p in map(self.resolve, listed) if p["in"] == place}

    def response(self, method: str, path: str, status: int) -> tuple[str, dict]:
        """Under which status it is documented, and how."""
        responses = self.operation(method, path)["responses"]
        name = str(status) if str(status) in responses else "default"
        return name, self.resolve(responses[name])

    def schemas(self) -> Iterator[tuple[str, dict]]:
        """Every schema of the document with the place where it stands; not those inside of others."""
        def walk(node, place: str):
            if isinstance(node, dict):
                for key, value in node.items():
                    if key == "schema":
                        yield f"{place}/schema", value
                    else:
                        yield from walk(value, f"{place}/{key}")
            elif isinstance(node, list):
                for i, value in enumerate(node):
                    yield from walk(value, f"{place}/{i}")
        yield from walk(self.root, "#")
        for name, schema in self.root["components"]["schemas"].items():
            yield f"#/components/schemas/{name}", schema

    # ---- schemas without references, and closed ----

    def closed(self, schema: dict) -> dict:
        """The schema with its references put in, in which an object has no members but those that are documented."""
        schema = self.resolve(schema)
        out = {}
        for key, value in schema.items():
            if key in ("items", "additionalProperties") and isinstance(value, dict):
                out[key] = self.closed(value)
            elif key == "properties":
                out[key] = {name: self.closed(member) for name, member in value.items()}
            elif key in ("oneOf", "anyOf", "allOf"):
                out[key] = [self.closed(member) for member in value]
            else:
                out[key] = value
        if "properties" in out:
            out.setdefault("additionalProperties", False)
        return out

    def check(self, schema: dict, value, closed: bool = True) -> None:
        whole = self.closed(schema)
        if not closed:
            whole = json.loads(re.sub(r'"additionalProperties": false', '"x-closed": false', json.dumps(whole)))
        jsonschema.Draft202012Validator(whole).validate(value)

    def fields(self, schema: dict) -> set[str]:
        """The paths of all members that a value may have: "settings.rate", "predictions[].label"."""
        schema, found = self.resolve(schema), set()
        for name, member in schema.get("properties", {}).items():
            found.add(name)
            found |= {f"{name}{'' if inner.startswith('[]') else '.'}{inner}" for inner in self.fields(member)}
        if isinstance(schema.get("items"), dict):
            found |= {f"[]{'' if inner.startswith('[]') else '.'}{inner}" for inner in self.fields(schema["items"])}
        for key in ("oneOf", "anyOf", "allOf"):
            for part in schema.get(key, []):
                found |= self.fields(part)
        return found


def fields_of(value) -> set[str]:
    """The paths of all members that a value has, as Document.fields() writes them."""
    found = set()
    if isinstance(value, dict):
        for name, member in value.items():
            found.add(name)
            found |= {f"{name}{'' if inner.startswith('[]') else '.'}{inner}" for inner in fields_of(member)}
    elif isinstance(value, list):
        for member in value:
            found |= {f"[]{'' if inner.startswith('[]') else '.'}{inner}" for inner in fields_of(member)}
    return found


def anonymous(path: str) -> str:
    """A path with its placeholders' names left out."""
    return re.sub(r"\{[^}]*\}", "{}", path)
