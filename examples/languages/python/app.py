"""Answers HTTP, counts visits, and greets: what the other three do, in Python."""

import json
from urllib.parse import parse_qs, urlsplit

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import atomics, greeter, store
from wit_world.imports.types import (
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam)

LANGUAGE = "Python"


class Greeter(exports.Greeter):
    """What this component serves to others."""

    def greet(self, name: str) -> greeter.Greeting:
        return greeter.Greeting(LANGUAGE, f"Hello, {name}! Python greets you.")


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        query = parse_qs(urlsplit(request.path_with_query() or "").query)
        name = query.get("name", ["World"])[0]
        try:
            visits = atomics.increment(store.open("visits"), LANGUAGE, 1)
        except Err as error:
            why = getattr(error.value, "value", "the store cannot be used")
            send(response_out, 503, "text/plain; charset=utf-8", f"{why}\n")
            return
        # The component that the manifest links, in whatever language it is.
        greeting = greeter.greet(name)
        answer = {
            "language": LANGUAGE,
            "visits": visits,
            "greeting": {"language": greeting.language, "text": greeting.text},
        }
        send(response_out, 200, "application/json", json.dumps(answer) + "\n")


def send(out: ResponseOutparam, status: int, media_type: str, text: str) -> None:
    fields = Fields()
    fields.append("content-type", media_type.encode())
    response = OutgoingResponse(fields)
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(out, Ok(response))
    content = text.encode()
    with body.write() as stream:
        # A single write takes 4096 bytes.
        for start in range(0, len(content), 4096):
            stream.blocking_write_and_flush(content[start:start + 4096])
    OutgoingBody.finish(body, None)
