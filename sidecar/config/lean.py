"""Keeps pydantic from searching for plugins: 20 to 40 ms of every start, and 1.5 MB, to find none.

pydantic reads the metadata of every installed distribution before it builds its first model; its own
switch (PYDANTIC_DISABLE_PLUGINS) comes after the import of what reads them. Must be imported before
pydantic. Should a later pydantic look elsewhere, this has no effect and does no harm.
"""

import sys
from types import ModuleType

_LOADER = "pydantic.plugin._loader"


def _no_plugins() -> tuple[()]:
    return ()


def _stand_in() -> ModuleType:
    module = ModuleType(_LOADER, "No plugins, see sidecar.config.lean.")
    module.__dict__["get_plugins"] = _no_plugins
    return module


sys.modules.setdefault(_LOADER, _stand_in())
