"""A value that no output shows."""

from typing import Any, Final, NoReturn

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

HIDDEN: Final = "***"


class Secret:
    """Text that never prints: not in `repr`, `str`, an f-string, a model's dump or its JSON, nor by pickling.

    Two secrets are equal when their texts are: a reload must see that one has changed.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Call it where the value goes out on a connection, and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secret":
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Only an instance will do (see `fields.secret`), and every dump of it is `***`."""
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(lambda _: HIDDEN)
        )
