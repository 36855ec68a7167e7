"""A whole file or stream: every pod in it, and the ConfigMaps behind it."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from sidecar.inject.container import Settings, config_map
from sidecar.inject.nodes import Document, documents
from sidecar.inject.pods import Injection
from sidecar.inject.problem import ManifestError
from sidecar.inject.removal import removal
from sidecar.inject.splice import Edit, Literal, Text, applied, dumped
from sidecar.inject.workloads import Workload, config_maps, workloads

_MARK: Final = "\ufeff"
_SEPARATOR: Final = "--- # added by sidecar inject"
_JOINED: Final = f"{_SEPARATOR}, behind a line without an end"
"""Says that the line break before it is ours too."""
_NEXT: Final = re.compile(r"^(---|\.\.\.)(\s|$)", re.MULTILINE)
_JSON: Final = "JSON cannot be followed by a ConfigMap: use --config-map NAME, or YAML"


class Done(NamedTuple):
    """The new text, and the workloads that it concerns, as `Deployment web`."""

    text: str
    workloads: list[str]


def inject(text: str, settings: Settings) -> Done:
    """The text with the sidecar in every pod; what an earlier call put in is replaced.

    Raises:
        ManifestError: it is not YAML, or something in it is in the way.
    """
    mark, clean = _marked(undo(text).text)
    found = documents(clean)
    edits: list[Edit] = []
    names: dict[str | None, str] = {}
    done: list[Workload] = []
    renamed: set[str] = set()
    for edited, workload in _all(clean, found):
        name = settings.config_map or names.setdefault(workload.namespace, f"{workload.name}-{settings.name}")
        injection = Injection(edited, workload, settings, name)
        edits += injection.edits()
        renamed |= injection.renamed
        done.append(workload)
    if done:
        _nothing_missed(settings, renamed)
    result = applied(clean, edits)
    if not settings.config_map:
        _can_be_followed(clean, found, names)
        result = _followed(result, settings, names)
    return Done(mark + _reversible(result, clean, done), [f"{each.kind} {each.name}" for each in done])


def undo(text: str) -> Done:
    """The text without anything that `inject` put in.

    Raises:
        ManifestError: it is not YAML, or an annotation of ours was changed.
    """
    mark, clean = _marked(text)
    found = documents(clean)
    edits: list[Edit] = []
    done: list[str] = []
    for edited, workload in _all(clean, found):
        if cuts := removal(edited, workload):
            edits += cuts
            done.append(f"{workload.kind} {workload.name}")
    edits += _without_config_maps(clean, found)
    return Done(mark + applied(clean, edits), done)


def _marked(text: str) -> tuple[str, str]:
    return (_MARK, text[1:]) if text.startswith(_MARK) else ("", text)


def _all(text: str, found: list[Document]) -> Iterator[tuple[Text, Workload]]:
    for document in found:
        if document.root is not None:
            edited = Text(text, document.root)
            yield from ((edited, workload) for workload in workloads(document))


def _nothing_missed(settings: Settings, renamed: set[str]) -> None:
    for variable, _ in settings.env:
        if variable in renamed:
            continue
        if settings.containers:
            raise ManifestError(f"has no container {' or '.join(sorted(settings.containers))}", line=1)
        raise ManifestError(f"no container has the variable {variable}: name one with --container to add it", line=1)


def _can_be_followed(text: str, found: list[Document], names: dict[str | None, str]) -> None:
    """Whether another document may stand behind the last."""
    if names and text.lstrip().startswith("{"):
        raise ManifestError(_JSON, line=1)
    last = [scalar for document in found[-1:] if document.root for scalar in document.root.scalars][-1:]
    if names and not text.endswith("\n") and last and last[0].style in {"|", ">"}:
        # A line break there would become part of the text.
        raise ManifestError("ends in the middle of a text: add a line break at its end", line=text.count("\n") + 1)


def _followed(text: str, settings: Settings, names: dict[str | None, str]) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    for namespace, name in names.items():
        made = config_map(settings, name, namespace)
        made["data"] = {key: Literal(content) for key, content in made["data"].items()}
        separator = _SEPARATOR if text.endswith("\n") else f"{end}{_JOINED}"
        text += f"{separator}{end}{dumped(made).replace(chr(10), end)}"
    return text


def _without_config_maps(text: str, found: list[Document]) -> Iterator[Edit]:
    for document in found:
        for node in config_maps(document):
            start = text.rfind(_SEPARATOR, 0, node.start)
            if node is not document.root or start < 0 or text[start : node.start].partition("\n")[2].strip():
                continue
            if text.startswith(_JOINED, start):
                start -= 2 if text[:start].endswith("\r\n") else 1
            following = _NEXT.search(text, node.end)
            yield Edit(start, following.start() if following else len(text), "")


def _reversible(result: str, before: str, found: list[Workload]) -> str:
    """`result`, once it is certain that `undo` finds the way back from it: rather no edit than a wrong one."""
    try:
        sound = undo(result).text == before
    except ManifestError:
        sound = False
    if not sound:
        message = "is written in a way that cannot be edited safely: write it as kubectl does, in plain block style"
        raise found[0].refused(message) if found else ManifestError(message, line=1)
    return result
