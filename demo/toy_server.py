"""Serve the toy policies as an OpenAI-compatible endpoint: /v1/models, /v1/completions, /v1/chat/completions.

toy_server.py [--port N] [--policies N] [--seed N] [--key-file FILE]     prints its URL and serves until it is ended.
The policies are those of toy_pool.py with the same --seed and --policies; a model is named toy-00, toy-01, ...
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import json
import sys
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from toy_language import COMMA, STOP, VERB, Language, make_policies, read_language, to_text
from toy_pool import OUTPUT_AT_LEAST

LONGEST_BODY = 1 << 20
DEFAULTS: dict[str, float] = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "max_tokens": 34, "n": 1}
LIMITS: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "top_k": (-1, 1e6),
    "max_tokens": (1, 1e6),
    "n": (1, 1),
}


class BadRequest(ValueError):
    """A request that cannot be served as it is: answered with 400."""


@dataclass(frozen=True)
class Sampling:
    """How a continuation is drawn."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    seed: int | None


class Policies:
    """Language models over the symbols of the logbook: next-symbol probabilities [policies, S, S]."""

    def __init__(self, count: int, seed: int) -> None:
        self.language = read_language()
        self.following = make_policies(self.language, count, np.random.default_rng(seed))

    def model(self, name: object) -> int:
        """The number of a model. BadRequest when there is none of that name."""
        names = [f"toy-{i:02d}" for i in range(len(self.following))]
        if name not in names:
            raise LookupError(f"model: expected one of {', '.join(names)}, got {name!r}")
        return names.index(str(name))

    def complete(self, model: int, prompt: str, how: Sampling) -> tuple[str, int, int, str]:
        """Text, prompt tokens, output tokens and finish reason; one token is one word or mark."""
        read = read_symbols(self.language, prompt)
        rng = np.random.default_rng(how.seed)
        now = read[-1]
        drawn: list[int] = []
        while len(drawn) < how.max_tokens:
            now = draw(self.following[model, now], how, rng)
            drawn.append(now)
            if len(drawn) > OUTPUT_AT_LEAST and self.language.position[now] == STOP:
                return to_text(self.language, np.array(drawn)), len(read), len(drawn), "stop"
        return to_text(self.language, np.array(drawn)), len(read), len(drawn), "length"


def draw(probabilities: np.ndarray, how: Sampling, rng: np.random.Generator) -> int:
    """One next symbol: temperature, then top-k, then top-p, as other servers do it."""
    if how.temperature == 0:
        return int(np.argmax(probabilities))
    weights = np.power(probabilities, 1 / how.temperature)
    order = np.argsort(-weights, kind="stable")
    ranked = weights[order] / weights.sum()
    kept = np.cumsum(ranked) - ranked < how.top_p
    if how.top_k > 0:
        kept &= np.arange(len(ranked)) < how.top_k
    ranked = np.where(kept | (np.arange(len(ranked)) == 0), ranked, 0.0)
    return int(order[rng.choice(len(ranked), p=ranked / ranked.sum())])


def read_symbols(language: Language, text: str) -> list[int]:
    """A text as symbols, by the role that each word has at its place; words of no lexicon are passed over."""
    symbols = [int(np.flatnonzero(language.position == STOP)[0])]
    seen_verb = False
    for word in text.replace(",", " ,").replace(".", " .").split():
        options = [i for i, known in enumerate(language.words) if known == word]
        if not options:
            continue
        best = options[-1] if seen_verb else options[0]
        symbols.append(best)
        position = int(language.position[best])
        seen_verb = position == VERB or (seen_verb and position not in (COMMA, STOP))
    return symbols


def read_request(body: dict[str, Any]) -> Sampling:
    """BadRequest names the parameter, what was expected and what was got."""
    values = {}
    for key, default in DEFAULTS.items():
        value = body.get(key)
        low, high = LIMITS[key]
        if value is None:
            value = default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise BadRequest(f"{key}: expected a number from {low:g} to {high:g}, got {value!r}")
        values[key] = value
    seed = body.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        raise BadRequest(f"seed: expected a whole number of at least 0, got {seed!r}")
    return Sampling(values["temperature"], values["top_p"], int(values["top_k"]), int(values["max_tokens"]), seed)


def read_prompt(body: dict[str, Any], chat: bool) -> str:
    """The text to continue: the prompt, or the last message."""
    if not chat:
        prompt = body.get("prompt")
        if not isinstance(prompt, str):
            raise BadRequest(f"prompt: expected a string, got {type(prompt).__name__}")
        return prompt
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    if not isinstance(content, str):
        raise BadRequest("messages: expected a list of messages with a string in content")
    return content


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP; knows nothing of sampling."""

    protocol_version = "HTTP/1.1"
    policies: ClassVar[Policies]
    key: ClassVar[str | None] = None

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            return self._send(404, {"error": {"message": f"no such path: {self.path}"}})
        names = [f"toy-{i:02d}" for i in range(len(self.policies.following))]
        return self._send(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

    def do_POST(self) -> None:
        try:
            self._send(*self._answer(self._read()))
        except BadRequest as error:
            self._send(400, {"error": {"message": str(error)}})
        except LookupError as error:
            self._send(404, {"error": {"message": str(error)}})

    def _read(self) -> dict[str, Any]:
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > LONGEST_BODY:
            self.close_connection = True
            raise BadRequest(f"expected a body of at most {LONGEST_BODY} bytes, got {length or 'no content-length'}")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except ValueError as error:
            raise BadRequest(f"expected a JSON object: {error}") from error
        if not isinstance(body, dict):
            raise BadRequest(f"expected a JSON object, got {type(body).__name__}")
        return body

    def _answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        chat = self.path == "/v1/chat/completions"
        if not chat and self.path != "/v1/completions":
            return 404, {"error": {"message": f"no such path: {self.path}"}}
        given = self.headers.get("authorization", "")
        if self.key is not None and not hmac.compare_digest(given.encode(), f"Bearer {self.key}".encode()):
            return 401, {"error": {"message": "expected another API key"}}
        model = self.policies.model(body.get("model"))
        text, read, written, finish = self.policies.complete(model, read_prompt(body, chat), read_request(body))
        choice = {"message": {"role": "assistant", "content": text.strip()}} if chat else {"text": text}
        return 200, {
            "id": f"toy-{time.monotonic_ns()}",
            "object": "chat.completion" if chat else "text_completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [{"index": 0, **choice, "finish_reason": finish}],
            "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        }

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the client counts."""


def main(argv: list[str] | None = None) -> int:
    """Run the server; returns the exit status."""
    parser = argparse.ArgumentParser(prog="toy_server.py", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--policies", type=int, default=8)
    parser.add_argument("--key-file", type=Path, help="file with the API key that clients must send")
    args = parser.parse_args(argv)
    Handler.policies = Policies(args.policies, args.seed)
    Handler.key = args.key_file.read_text().strip() if args.key_file else None
    server = ThreadingHTTPServer((args.host, args.port), Handler)
    print(f"http://{args.host}:{server.server_address[1]}/v1", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
