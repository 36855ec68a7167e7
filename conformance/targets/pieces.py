"""The parsers beneath: chunks, single field values, configuration files. They refuse; they never fail."""

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Final

from conformance.corpus import requests, settings
from conformance.corpus.words import SCRAPS, WORDS, YAML
from conformance.mutate import segments
from conformance.targets import chance, hold
from sidecar import config
from sidecar.admin.negotiation import wants_openmetrics
from sidecar.config.problem import ConfigError
from sidecar.policy import retry_after
from sidecar.policy.expect import Expect
from sidecar.proxy.ids import request_id_of, traceparent_of
from sidecar.proxy.patience import HEADERS, patience
from sidecar.wire import framing
from sidecar.wire.chunked import ChunkedDecoder, ChunkError
from sidecar.wire.errors import BadRequest, MalformedResponse

_NOW: Final = 1_700_000_000.0
_VARYING: Final = re.compile(r"'[^']*'|[0-9]+|[A-Za-z_]+ is not set.*")
"""What differs between two messages that say the same."""
_EXPECT: Final = Expect(
    status=None, content_type="application/json", json_equals={"/a/b/0": 1}, json_present=["/a"], max_body=4096
)


class Chunks:
    """A chunked body. Law: the same payload, trailers, end and refusal whatever the segments."""

    seeds: Sequence[bytes] = [seed.wire.partition(b"\r\n\r\n")[2] for seed in requests.CHUNKS]
    words: Sequence[bytes] = WORDS

    def run(self, data: bytes) -> Hashable:
        """Holds the law."""
        whole = _decoded([data])
        rng = chance(data)
        for pieces in (segments(data, rng), [data[at : at + 1] for at in range(len(data))]):
            other = _decoded(pieces)
            hold("the same whatever the segments", given=whole == other, detail=f"{whole} became {other}")
        return (len(whole), len(whole) > 1 and (bool(whole[0]), len(whole[1]), whole[2], bool(whole[3])))


def _decoded(pieces: Iterable[bytes]) -> tuple[Any, ...]:
    decoder = ChunkedDecoder()
    payload = b""
    try:
        for piece in pieces:
            payload += b"".join(decoder.feed(piece))
    except ChunkError:
        return ("refused",)
    return (payload, tuple(decoder.trailers), decoder.done, decoder.rest)


class Values:
    """One field value, given to everything that reads one. Law: a value or a refusal, never another exception."""

    seeds: Sequence[bytes] = settings.VALUES
    words: Sequence[bytes] = SCRAPS

    def run(self, data: bytes) -> Hashable:
        """Holds the law."""
        seconds = retry_after.parse(data, _NOW)
        hold("a wait is bounded", given=seconds is None or 0.0 <= seconds <= retry_after.LONGEST)
        waits = [patience({name: data}) for name in sorted(HEADERS)]
        hold("patience is a time", given=all(wait >= 0.0 for wait in waits))
        options = framing.connection_options(data)
        wrong = _EXPECT.check(200, b"application/json", data, b"gzip"), _EXPECT.check(200, data, b"{}", data)
        return (
            *(seconds is None, *(wait == float("inf") for wait in waits), request_id_of(data) is None),
            *(
                traceparent_of(data) is None,
                options.close,
                options.keep_alive,
                options.upgrade,
                len(options.tokens),
                *wrong,
            ),
            wants_openmetrics([data.decode("latin-1")]),
            *(_refused(framing.check_host, data), _refused(framing.absolute_form, data, b"GET")),
            *(_refused(framing.request_length, *pair, http10=False) for pair in ((data, None), (None, data))),
            *(_refused(framing.response_length, 200, b"GET", *pair) for pair in ((data, None), (None, data))),
        )


def _refused(parse: Any, *values: Any, **named: Any) -> str:
    try:
        parse(*values, **named)
    except (BadRequest, MalformedResponse) as error:
        return error.detail
    return ""


class Settings:
    """A configuration file. Law: a configuration, or everything that is wrong with it; in bounded time."""

    seeds: Sequence[bytes] = settings.FILES
    words: Sequence[bytes] = YAML

    def run(self, data: bytes) -> Hashable:
        """Holds the law."""
        try:
            config.parse(data, file="fuzz.yaml", env={"HOME": "/root"})
        except ConfigError as error:
            hold("an error has problems", given=bool(error.problems))
            return tuple(sorted({_VARYING.sub("", problem.message) for problem in error.problems}))[:1]
        return "good"
