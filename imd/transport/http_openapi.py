"""The OpenAPI 3.1 document, made from the table of routes and the types that read and write."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from imd.errors import AuthRefused, ImdError
from imd.transport.http_fault import FaultBody
from imd.transport.http_message import JSON, Request, Response, json_response
from imd.transport.http_route import Route

Json = dict[str, Any]
REF = "#/components/schemas/{name}"
PATH = "/openapi.json"
_KEY = "pushKey"  # the security scheme's name
_RETRIED = {429, 503, 504}
_ABOUT = (
    "Push to clients, see who is online, find the servers. An error's status is telling; its body has name and message."
)


class OpenApi:
    """Serves the document, which is made once. ``keys_required``: whether routes with scopes refuse who shows no key."""

    __slots__ = ("_document",)

    def __init__(self, *, routes: Sequence[Route], version: str, keys_required: bool) -> None:
        self._document = document([*routes, *self.routes()], version, keys_required)

    @property
    def document(self) -> Json:
        """As it is served."""
        return self._document

    def routes(self) -> list[Route]:
        return [Route("GET", PATH, self.serve, "This document", "about", answer=dict[str, Any])]

    def serve(self, request: Request) -> Response:
        return json_response(self._document)


def document(routes: Iterable[Route], version: str, keys_required: bool) -> Json:
    """The whole document; routes that are not listed are left out."""
    listed = [route for route in routes if route.listed]
    schemas = _Schemas(listed)
    paths: defaultdict[str, Json] = defaultdict(dict)
    for route in listed:
        paths[route.path][route.method.lower()] = _operation(route, schemas, keys_required)
    return {
        "openapi": "3.1.0",
        "info": {"title": "imd", "version": version, "description": _ABOUT},
        "paths": dict(paths),
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer", "description": "A push key."}},
        },
    }


class _Schemas:
    """The JSON Schema of every type that the routes name, once."""

    def __init__(self, routes: Iterable[Route]) -> None:
        bodies = [kind for route in routes for kind in (route.body, route.answer, route.unready, route.fault_type)]
        self._kinds = [FaultBody, *(kind for kind in bodies if kind not in (None, bytes))]
        found, self.components = msgspec.json.schema_components(self._kinds, ref_template=REF)
        self._schemas = found

    def of(self, kind: Any) -> Any:
        """The schema of a body: any bytes have none (OpenAPI 3.1, "Considerations for File Uploads")."""
        return {} if kind is bytes else self._schemas[self._kinds.index(kind)]

    @staticmethod
    def of_query(kind: type[msgspec.Struct]) -> Json:
        """The schema of a query's struct, nothing of it shared."""
        (_,), components = msgspec.json.schema_components([kind], ref_template=REF)
        schema: Json = components[kind.__name__]
        return schema


def _operation(route: Route, schemas: _Schemas, keys_required: bool) -> Json:
    words = re.sub(r"[{}]", "", route.path).replace(".", "_").strip("/").split("/")
    operation: Json = {
        "operationId": "_".join([route.method.lower(), *words]),
        "tags": [route.tag],
        "summary": route.summary,
        "responses": _responses(route, schemas),
    }
    if route.detail:
        operation["description"] = route.detail
    if route.parameter:
        operation["parameters"] = [
            {"name": route.parameter, "in": "path", "required": True, "schema": {"type": "string"}}
        ]
    if route.query is not None:
        operation["parameters"] = list(_parameters(schemas.of_query(route.query)))
    if route.body is not None:
        media = "*/*" if route.body is bytes else JSON
        operation["requestBody"] = {
            "required": route.body is not bytes,
            "content": {media: {"schema": schemas.of(route.body)}},
        }
    if route.scopes:
        operation["security"] = [{_KEY: []}] if keys_required else [{}, {_KEY: []}]
        operation["x-scopes"] = route.scopes
    return operation


def _parameters(schema: Json) -> Iterable[Json]:
    required = schema.get("required", ())
    for name, of in schema["properties"].items():
        parameter = {"name": name, "in": "query", "required": name in required, "schema": of}
        if of.get("type") == "array":
            parameter |= {"style": "form", "explode": True, "description": "Repeat the parameter for several values."}
        yield parameter


def _responses(route: Route, schemas: _Schemas) -> Json:
    content = {route.content_type: {"schema": schemas.of(route.answer)} if route.answer is not None else {}}
    responses: Json = {"200": {"description": "Done.", "content": content}}
    by_status: defaultdict[int, list[type[ImdError]]] = defaultdict(list)
    for error in route.errors:
        by_status[error.http_status].append(error)
    fault = {JSON: {"schema": schemas.of(route.fault_type or FaultBody)}}
    for status, errors in sorted(by_status.items()):
        words = " ".join(_first_line(error) for error in errors)
        responses[str(status)] = {"description": words, "content": fault, **_headers(status)}
    if route.unready is not None:
        responses["503"] = {"description": "Not ready.", "content": {JSON: {"schema": schemas.of(route.unready)}}}
    responses["default"] = {"description": "Any other error; 500 is a fault of the server.", "content": fault}
    return responses


def _headers(status: int) -> Json:
    if status in _RETRIED:
        words = "Seconds after which to try again."
        return {"headers": {"Retry-After": {"description": words, "schema": {"type": "integer"}}}}
    if status == AuthRefused.http_status:
        return {"headers": {"WWW-Authenticate": {"description": "Bearer.", "schema": {"type": "string"}}}}
    return {}


def _first_line(error: type[ImdError]) -> str:
    return (error.__doc__ or HTTPStatus(error.http_status).phrase).strip().splitlines()[0]
