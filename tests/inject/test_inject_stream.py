"""inject and undo: cases worth reading one by one. The laws are in test_inject_stream_laws.py."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_chart import assert_valid, unrestricted

from sidecar.inject import ManifestError, Settings, inject, undo

Object = dict[str, Any]
FILES = (("sidecar.yaml", "# Ours.\nupstreams: {}\n"),)
PLAIN = Settings(image="resilience-sidecar:1", files=FILES, checksum="0123")
TOGGLES = ("CONNECT_TOGGLES_URL", "http://127.0.0.1:8080/connect/api/toggles/")
DEPLOYMENT = """\
# The shop.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # as in the Service
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
    spec:
      # Only one.
      containers:
        - name: web
          image: 'web:1'
          env:
            - name: CONNECT_TOGGLES_URL
              value: "https://connect.example.com/api/toggles/"   # theirs
            - {name: LEVEL, value: info}
        - image: nginx
          name: nginx
"""


def loaded(text: str) -> list[Object]:
    """The documents of a stream."""
    return list(yaml.safe_load_all(text))


def test_only_lines_are_added() -> None:
    """Every line of the original is there, in its order, as it was: comments, quotes, spaces."""
    after = inject(DEPLOYMENT, PLAIN).text.splitlines()
    lines = iter(after)
    assert all(line in lines for line in DEPLOYMENT.splitlines())
    assert after[after.index("      # Only one.") - 1].startswith("          "), "the comment stays with its key"


def test_the_result_is_valid_and_restricted() -> None:
    """Three Kubernetes versions would take it, and the sidecar meets the restricted standard."""
    deployment, config_map = loaded(inject(DEPLOYMENT, replace(PLAIN, kept="/var/lib/sidecar", secrets=("t",))).text)
    for document in (deployment, config_map):
        assert_valid(document)
    pod = deployment["spec"]["template"]["spec"]
    assert unrestricted({"containers": pod["initContainers"], "volumes": pod["volumes"]}) == []
    assert pod["initContainers"][0]["restartPolicy"] == "Always"
    assert pod["volumes"][0]["configMap"]["name"] == config_map["metadata"]["name"] == "web-sidecar"
    assert config_map["data"] == dict(FILES)


def test_a_variable_leads_to_the_sidecar_where_there_is_one() -> None:
    """Only containers that have it; quotes and comments around it stay; undo knows the old value."""
    after = inject(DEPLOYMENT, replace(PLAIN, env=(TOGGLES,))).text
    assert f'value: "{TOGGLES[1]}"   # theirs\n' in after
    web, nginx = loaded(after)[0]["spec"]["template"]["spec"]["containers"]
    assert web["env"][0] == {"name": TOGGLES[0], "value": TOGGLES[1]}
    assert "env" not in nginx
    assert undo(after).text == DEPLOYMENT


def test_a_variable_is_added_where_a_container_is_named() -> None:
    """Also to one without any variables, and only there."""
    after = inject(DEPLOYMENT, replace(PLAIN, env=(TOGGLES,), containers=frozenset({"nginx"}))).text
    web, nginx = loaded(after)[0]["spec"]["template"]["spec"]["containers"]
    assert web["env"][0]["value"] == "https://connect.example.com/api/toggles/"
    assert nginx["env"] == [{"name": TOGGLES[0], "value": TOGGLES[1]}]
    assert undo(after).text == DEPLOYMENT


def test_a_classic_container_comes_first_and_is_not_the_default() -> None:
    """Containers start in their order; kubectl still shows the app's log."""
    after = inject(DEPLOYMENT, replace(PLAIN, native=False)).text
    template = loaded(after)[0]["spec"]["template"]
    assert [each["name"] for each in template["spec"]["containers"]] == ["sidecar", "web", "nginx"]
    assert template["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "web"
    assert "initContainers" not in template["spec"]
    assert_valid(loaded(after)[0])
    assert undo(after).text == DEPLOYMENT
    assert inject(after, PLAIN).text == inject(DEPLOYMENT, PLAIN).text, "from classic to native"


def test_init_containers_run_before_a_classic_sidecar() -> None:
    """So their variables stay; a native one serves them."""
    text = DEPLOYMENT.replace(
        "      # Only one.\n",
        "      initContainers: [{name: i, image: i, env: [{name: CONNECT_TOGGLES_URL, value: x}]}]\n",
    )
    for native, expected in ((True, TOGGLES[1]), (False, "x")):
        after = inject(text, replace(PLAIN, native=native, env=(TOGGLES,))).text
        (own,) = [
            each for each in loaded(after)[0]["spec"]["template"]["spec"]["initContainers"] if each["name"] == "i"
        ]
        assert own["env"][0]["value"] == expected
        assert undo(after).text == text


def test_what_kubectl_prints_passes() -> None:
    """`kubectl get -o yaml`: status, managedFields, nulls; before and after, and undo after kubectl wrote it anew."""
    live = (Path(__file__).parent / "kubectl-get.yaml").read_text()
    after = inject(live, PLAIN).text
    assert undo(after).text == live
    again = yaml.safe_dump_all(loaded(after)[:1], width=1 << 20)  # sorted, no comments, as the API server gives it back
    back = undo(again)
    assert loaded(back.text) == loaded(live)
    assert back.workloads == ["Deployment web"]


def test_workloads_of_one_namespace_share_a_config_map() -> None:
    """One for each namespace, named after the first workload there; `--config-map` makes none."""
    texts = [DEPLOYMENT.replace("name: web ", f"name: w{index}\n  namespace: n{index % 2} ") for index in range(3)]
    documents = loaded(inject("---\n".join(texts), PLAIN).text)
    made = [each["metadata"] for each in documents if each["kind"] == "ConfigMap"]
    assert [(each["name"], each["namespace"]) for each in made] == [("w0-sidecar", "n0"), ("w1-sidecar", "n1")]
    mounted = [each["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"] for each in documents[:3]]
    assert mounted == ["w0-sidecar", "w1-sidecar", "w0-sidecar"]
    (alone,) = loaded(inject(DEPLOYMENT, replace(PLAIN, config_map="routes")).text)
    assert alone["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"] == "routes"


def test_json_stays_json() -> None:
    """`kubectl get -o json` too; a ConfigMap cannot follow it."""
    text = json.dumps(loaded(DEPLOYMENT)[0], indent=4)
    after = inject(text, replace(PLAIN, config_map="routes")).text
    assert json.loads(after)["spec"]["template"]["spec"]["initContainers"][0]["name"] == "sidecar"
    assert undo(after).text == text
    with pytest.raises(ManifestError, match="--config-map NAME"):
        inject(text, PLAIN)


def test_a_comment_inside_a_text_is_none() -> None:
    """What stands right above a key may be the end of a block of text that only looks like a comment."""
    first = "      initContainers:\n      - name: first\n        args:\n        - |\n          true\n      # not one\n"
    text = DEPLOYMENT.replace("      # Only one.\n", first.replace("      # not", "          # not"))
    after = inject(text, PLAIN).text
    first_after = loaded(after)[0]["spec"]["template"]["spec"]["initContainers"][1]
    assert first_after == {"name": "first", "args": ["true\n# not one\n"]}
    assert undo(after).text == text


def test_of_a_variable_that_is_there_twice_the_last_holds() -> None:
    """As in a pod."""
    text = DEPLOYMENT.replace("{name: LEVEL, value: info}", "{name: CONNECT_TOGGLES_URL, value: 'https://b'}")
    after = inject(text, replace(PLAIN, env=(TOGGLES,))).text
    env = loaded(after)[0]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [each["value"] for each in env] == ["https://connect.example.com/api/toggles/", TOGGLES[1]]
    assert undo(after).text == text


@pytest.mark.parametrize("other", ["", "# nothing\n", "kind: Service\napiVersion: v1\n", "just text\n", "[1, 2]\n"])
def test_documents_without_pods_pass_untouched(other: str) -> None:
    """Nothing is added for them, no ConfigMap either."""
    assert inject(other, PLAIN) == (other, [])
    assert undo(other) == (other, [])


def test_changes_made_since_survive_an_undo() -> None:
    """Whoever added a volume, an annotation or a container beside ours keeps it."""
    after = inject(DEPLOYMENT, PLAIN).text
    edited = (
        after.replace("      volumes:\n", "      volumes:\n      - name: theirs\n        emptyDir: {}\n")
        .replace("      annotations:\n", "      annotations:\n        theirs: x\n")
        .replace("      initContainers:\n", "      initContainers:\n      - name: theirs\n        image: x\n")
    )
    template = loaded(undo(edited).text)[0]["spec"]["template"]
    assert template["metadata"]["annotations"] == {"theirs": "x"}
    assert template["spec"]["volumes"] == [{"name": "theirs", "emptyDir": {}}]
    assert template["spec"]["initContainers"] == [{"name": "theirs", "image": "x"}]
    assert len(loaded(undo(edited).text)) == 1


@pytest.mark.parametrize(
    ("text", "line", "document", "says"),
    [
        ("a: [\n", 2, 1, "is not YAML"),
        ("a: 1\n---\nb: 'x\n", 4, 2, "is not YAML"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w}\nspec: {}\n", 4, 1, "spec must be a mapping"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: w}\n", 1, 1, "Pod w: has no spec"),
        (DEPLOYMENT.replace("- name: web", "- name: sidecar"), 14, 1, "has 'sidecar' already"),
        (
            DEPLOYMENT.replace("      containers:", "      volumes: &v\n      - {name: x}\n      containers:"),
            13,
            1,
            "an anchor",
        ),
        (DEPLOYMENT.replace("      containers:", "      volumes: *v\n      containers:"), 13, 1, "undefined alias"),
        (DEPLOYMENT.replace("containers:", "container:"), 13, 1, "has no containers"),
        (DEPLOYMENT.replace("containers:", "? containers\n      :"), 13, 1, "cannot be edited safely"),
        ("[" * 200, 1, 1, "nested too deeply"),
        (DEPLOYMENT + "---\na: |\n  b", DEPLOYMENT.count("\n") + 3, None, "ends in the middle of a text"),
        (
            "kind: Job\napiVersion: batch/v1\nmetadata: {name: j}\nspec: {template: {spec: {a: 1}}}",
            4,
            1,
            "no containers",
        ),
    ],
)
def test_what_cannot_be_edited_is_refused_with_its_place(text: str, line: int, document: int | None, says: str) -> None:
    """One sentence with the document's number and the line in the file; the text is not changed by half."""
    if "undefined" in says:
        says = "cannot be edited"
        text = text.replace("apiVersion", "x: &v []\napiVersion")
        line += 1
    with pytest.raises(ManifestError) as caught:
        inject(text, PLAIN)
    assert says in caught.value.message
    assert (caught.value.line, caught.value.document) == (line, document), caught.value.at("f")
    assert "\n" not in caught.value.at("f")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (replace(PLAIN, env=(("NOPE", "x"),)), "no container has the variable NOPE"),
        (replace(PLAIN, env=(("NOPE", "x"),), containers=frozenset({"nobody"})), "has no container nobody"),
    ],
)
def test_a_variable_that_nobody_has_is_a_mistake(asked: Settings, says: str) -> None:
    """A misspelt name must not pass as done."""
    with pytest.raises(ManifestError, match=says):
        inject(DEPLOYMENT, asked)


def test_a_variable_without_a_plain_value_is_refused() -> None:
    """A valueFrom is another's to say: which Secret held the address must not be lost."""
    text = DEPLOYMENT.replace(
        'value: "https://connect.example.com/api/toggles/"', "valueFrom: {secretKeyRef: {name: a, key: b}}"
    )
    with pytest.raises(ManifestError, match="CONNECT_TOGGLES_URL must have its value in one line"):
        inject(text, replace(PLAIN, env=(TOGGLES,)))


@pytest.mark.parametrize("what", ["env:", "containers:", "value:", "- name: CONNECT_TOGGLES_URL"])
def test_what_others_share_is_not_changed(what: str) -> None:
    """An anchor may stand for another container's variables as well."""
    anchored = "- &a\n              name: CONNECT_TOGGLES_URL" if what.startswith("-") else f"{what} &a"
    text = DEPLOYMENT.replace(f"{what} ", f"{anchored} ").replace(f"{what}\n", f"{anchored}\n")
    with pytest.raises(ManifestError, match="has an anchor"):
        inject(text, replace(PLAIN, env=(TOGGLES,)))


@pytest.mark.parametrize("kind", ["Job", "CronJob"])
def test_a_job_gets_no_classic_sidecar(kind: str) -> None:
    """It would never end."""
    pod = {"spec": {"containers": [{"name": "a"}]}}
    spec = {"template": pod} if kind == "Job" else {"jobTemplate": {"spec": {"template": pod}}}
    text = yaml.safe_dump({"apiVersion": "batch/v1", "kind": kind, "metadata": {"generateName": "j-"}, "spec": spec})
    with pytest.raises(ManifestError, match=f"{kind} j: a classic sidecar would keep it from ever ending"):
        inject(text, replace(PLAIN, native=False))
    assert loaded(inject(text, PLAIN).text)[1]["metadata"]["name"] == "j-sidecar"


def test_an_annotation_that_was_changed_is_not_guessed_at() -> None:
    """Rather no undo than a wrong one."""
    after = inject(DEPLOYMENT, PLAIN).text
    with pytest.raises(ManifestError, match="was changed"):
        undo(after.replace('"volumes":[', '"volumes":{'))
