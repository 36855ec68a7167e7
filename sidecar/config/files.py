"""The types of values that stand in other files: certificates, and secrets, which nothing shows."""

import re
import stat
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from sidecar.config.fields import header_text, header_value
from sidecar.config.scalars import FromEnvironment, shown
from sidecar.config.secret import Secret

_MAX_SECRET: Final = 64 * 1024
_STAND_IN: Final = b"https://elsewhere.invalid/"
"""For a secret that only the machine has where the configuration will be used: fit for a header, a token, a URL."""


def _opened(written: str, info: ValidationInfo) -> tuple[Path, bytes]:
    """Path and beginning of a file. A relative path counts from the configuration's directory."""
    path = Path((info.context or {}).get("directory", "."), written)
    try:
        if stat.S_ISREG(path.stat().st_mode):
            with path.open("rb") as stream:
                return path, stream.read(_MAX_SECRET + 1)
        why = "not a regular file"  # a pipe would block the start
    except FileNotFoundError as error:
        if (info.context or {}).get("elsewhere"):
            return path, _STAND_IN
        why = error.strerror or type(error).__name__
    except OSError as error:
        why = error.strerror or type(error).__name__
    except ValueError:
        why = "not a usable name"
    raise ValueError(f"cannot read {shown(written)}: {why}")


def readable(value: Any, info: ValidationInfo) -> str:
    """The whole path of a file that can be read now.

    Raises:
        ValueError: it cannot.
    """
    if not isinstance(value, str):
        raise ValueError("must be text: the path of a file")  # noqa: TRY004 - pydantic collects ValueErrors
    path, content = _opened(value, info)
    if content is _STAND_IN:
        raise ValueError(f"cannot read {shown(value)}: No such file or directory")
    return str(path)


def _certificate(value: Any, info: ValidationInfo) -> str:
    missing = isinstance(value, str) and _opened(value, info)[1] is _STAND_IN
    return value if missing else readable(value, info)


FilePath = Annotated[str, PlainValidator(_certificate), WithJsonSchema({"type": "string", "x-unit": "file"})]
"""A file that can be read now; relative to the configuration's directory."""


def noted(written: str, info: ValidationInfo, limit: int, content: bytes | None) -> None:
    """Tells whoever loads the configuration that it depends on that file. `content`: None if it cannot be read."""
    context = info.context or {}
    if "sources" in context:
        context["sources"].note(str(Path(context.get("directory", "."), written)), limit, content)


def _content(written: str, info: ValidationInfo) -> str:
    noted(written, info, _MAX_SECRET + 1, None)
    _, raw = _opened(written, info)
    noted(written, info, _MAX_SECRET + 1, raw)
    if len(raw) > _MAX_SECRET:
        raise ValueError(f"{shown(written)} is larger than {_MAX_SECRET // 1024} KiB")
    try:
        content = raw.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{shown(written)} is not UTF-8") from None
    return content[:-2] if content.endswith("\r\n") else content.removesuffix("\n")


def _secret(value: Any, info: ValidationInfo) -> Secret:
    if isinstance(value, dict) and list(value) == ["file"] and isinstance(value["file"], str):
        content = _content(value["file"], info)
    elif isinstance(value, str):
        content = str(value)
    else:
        raise ValueError("must be text or {file: path}")
    if not content:
        raise ValueError("is empty")
    return Secret(content)


_SECRET_SCHEMA: Final = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"file": {"type": "string", "description": "Path of the file that holds it."}},
            "required": ["file"],
            "additionalProperties": False,
        },
    ],
    "x-unit": "secret",
}
SecretText = Annotated[Secret, PlainValidator(_secret), WithJsonSchema(_SECRET_SCHEMA)]
"""`{file: path}`, read when the configuration is loaded, without one final line break; or the text itself."""

SENSITIVE: Final = re.compile(
    r"authorization|cookie|api-?key|token|secret|password|session|credential|signature", re.IGNORECASE
)
"""Headers whose names tell that their values are credentials."""


def _set_header(value: Any, info: ValidationInfo) -> str | Secret:
    if isinstance(value, dict):
        secret = _secret(value, info)
        header_text(secret.reveal())
        return secret
    checked = header_value(value)
    return Secret(str(value)) if isinstance(value, FromEnvironment) else checked


SetValue = Annotated[
    str | Secret,
    PlainValidator(_set_header),
    WithJsonSchema({**_SECRET_SCHEMA, "x-unit": "text or secret"}),
]
"""A header's value; a `Secret` when it came from a file or from the environment."""
