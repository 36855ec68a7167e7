"""What the environment decides over the file: where the process listens.

The same file serves on a desk, beside a container and as a shared proxy; only the addresses differ, and a chart or an
injected container knows them better than whoever wrote the routes.
"""

from collections.abc import Mapping
from typing import Any, Final

from sidecar.config.address import split_address
from sidecar.config.problem import ConfigError, Problem

LISTEN: Final = "SIDECAR_LISTEN"
"""`host:port` instead of the one `listen` of the file; its tls stays."""
ADMIN_LISTEN: Final = "SIDECAR_ADMIN_LISTEN"
"""`host:port` instead of `admin.listen`."""


def with_addresses(data: Any, *, file: str, env: Mapping[str, str]) -> Any:
    """A file's data with the addresses that `env` names. Data of the wrong shape is left for the models to refuse.

    Raises:
        ConfigError: a variable that is no `host:port`, or the file has several listeners.
    """
    if not isinstance(data, dict):
        return data
    result = dict(data)
    if address := env.get(LISTEN):
        _check(LISTEN, address, file)
        result["listen"] = _replaced(result.get("listen"), address, file)
    if address := env.get(ADMIN_LISTEN):
        _check(ADMIN_LISTEN, address, file)
        admin = result.get("admin", {})
        result["admin"] = {**admin, "listen": address} if isinstance(admin, dict) else admin
    return result


def _check(name: str, address: str, file: str) -> None:
    try:
        split_address(address)
    except ValueError as error:
        raise _refused(file, f"the variable {name} {error}") from None


def _replaced(listen: Any, address: str, file: str) -> Any:
    if isinstance(listen, list):
        if len(listen) > 1:
            raise _refused(file, f"the variable {LISTEN} stands for one listener, and the file has {len(listen)}")
        listen = listen[0] if listen else None
    return {**listen, "address": address} if isinstance(listen, dict) else address


def _refused(file: str, message: str) -> ConfigError:
    return ConfigError([Problem(file, 1, 1, "", message)])
