"""What the fuzzer starts from: messages, each with the verdict it must get, and the pieces they are mutated with.

requests.py      what callers send, from the plain to the hostile
responses.py     what upstreams answer
words.py         pieces that parsers have read differently
settings.py      configuration files
"""

from typing import NamedTuple


class Seed(NamedTuple):
    """One message, or several in a row. `verdict`: what becomes of it, as `shape` of its target writes it."""

    name: str
    wire: bytes
    verdict: str
