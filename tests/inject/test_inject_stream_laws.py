"""Laws of inject and undo, for manifests of any kind and any style."""

from typing import Any

import yaml
from helm_chart import assert_valid
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from inject_manifests import streams

from sidecar.inject import ManifestError, Settings, container, inject, undo
from sidecar.inject.state import CHECKSUM, DEFAULT, STATE

Object = dict[str, Any]
VALUE = "http://127.0.0.1:8080/api/"

configured = st.builds(
    Settings,
    image=st.sampled_from(["resilience-sidecar:1", "registry.example.com/sidecar@sha256:00"]),
    name=st.sampled_from(["sidecar", "egress"]),
    kept=st.sampled_from(["", "/var/lib/sidecar"]),
    secrets=st.sampled_from([(), ("token",)]),
    files=st.sampled_from([(("sidecar.yaml", "a: 1 # c\n"),), (("sidecar.yaml", "x"), ("s.json", "{}"))]),
    checksum=st.sampled_from(["", "0123456789abcdef"]),
    env=st.sampled_from([(), (("API_URL", VALUE),), (("API_URL", VALUE), ("NEW", VALUE))]),
    containers=st.just(frozenset({"app"})),
)


def injected(text: str, asked: Settings) -> str:
    """Skips what is refused for a good reason, and nothing else."""
    try:
        return inject(text, asked).text
    except ManifestError as error:
        assume(not error.message.startswith(("JSON cannot", "ends in the middle of a text")))
        assume("must have its value in one line" not in error.message)
        raise


@settings(max_examples=60, deadline=None)
@given(text=streams(), asked=configured)
def test_undo_gives_back_every_byte(text: str, asked: Settings) -> None:
    """Undo after inject is the identity on text: comments, quotes, indentation, line ends."""
    assert undo(injected(text, asked)).text == text
    assert undo(text).text == text


@settings(max_examples=40, deadline=None)
@given(text=streams(), first=configured, second=configured)
def test_the_last_command_line_is_what_holds(text: str, first: Settings, second: Settings) -> None:
    """Twice is once; and with other settings the second takes the place of the first."""
    once = injected(text, first)
    assert inject(once, first).text == once
    assert injected(once, second) == injected(text, second)


@settings(max_examples=60, deadline=None)
@given(text=streams(), asked=configured)
def test_what_is_not_ours_stays(text: str, asked: Settings) -> None:
    """Every pod has the sidecar first and its volumes; everything else is what it was."""
    before = list(yaml.load_all(text, yaml.CSafeLoader))
    after = list(yaml.load_all(injected(text, asked), yaml.CSafeLoader))
    made = after[len(before) :]
    assert all(each["kind"] == "ConfigMap" and each["data"] == dict(asked.files) for each in made)
    for old, new in zip(before, after, strict=False):
        _compared(old, new, asked)
    for document in (*after[: len(before)], *made):
        for each in (document or {}).get("items", [document]) if document else []:
            if each["apiVersion"] != "example.com/v1":
                assert_valid(each)


def _compared(old: Any, new: Any, asked: Settings) -> None:
    if isinstance(old, dict) and old.get("kind") == "List":
        for one, other in zip(old["items"], new["items"], strict=True):
            _compared(one, other, asked)
    elif pair := _pods(old, new):
        _compared_pods(*pair, asked)
        assert old == new  # what is in common was removed from both
    else:
        assert old == new


def _pods(old: Any, new: Any) -> tuple[Object, Object] | None:
    ways: dict[str, tuple[str, ...]] = {"Pod": (), "CronJob": ("spec", "jobTemplate", "spec", "template")}
    if not isinstance(old, dict) or old["kind"] in {"Service", "ConfigMap"} or old["apiVersion"] == "example.com/v1":
        return None
    for key in ways.get(old["kind"], ("spec", "template")):
        old, new = old[key], new[key]
    return old, new


def _compared_pods(old: Object, new: Object, asked: Settings) -> None:
    before, after = old.pop("spec"), new.pop("spec")
    assert after["initContainers"][0] == container.container(asked)
    config_map = after["volumes"][0]["configMap"]["name"]
    assert after["volumes"] == [*container.volumes(asked, config_map), *(before.pop("volumes", None) or [])]
    for name in ("containers", "initContainers"):
        others = after.pop(name)[name == "initContainers" :]
        were = before.pop(name, None) or []
        assert [_renamed(each, asked) for each in were] == [_env_of(each) for each in others]
    del after["volumes"]
    assert before == after
    _compared_metadata(old, new)


def _compared_metadata(old: Object, new: Object) -> None:
    was, now = old.pop("metadata", None) or {}, new.pop("metadata")
    notes = now.pop("annotations")
    assert {key: value for key, value in notes.items() if key not in {STATE, CHECKSUM, DEFAULT}} == (
        was.pop("annotations", None) or {}
    )
    assert was == now


def _renamed(each: Object, asked: Settings) -> Object:
    """A container with the variables as they should be now."""
    found = _env_of(each)
    if each["name"] in asked.containers:
        found["env"] |= dict(asked.env)
    return found


def _env_of(each: Object) -> Object:
    return {**each, "env": {variable["name"]: variable.get("value") for variable in each.get("env") or []}}
