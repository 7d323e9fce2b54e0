"""Every key is built in one module, and no id can lead out of its place; functions are found, not listed."""

import ast
import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lifemask.objects
from lifemask.objects import keys
from lifemask.objects.keys import BadKey

RUN, PHOTO, MODEL = (f"0192f7a0-{number}-7d3e-8f40-5a6b7c8d9e0f" for number in ("1111", "2222", "3333"))
"""Always the same: workers that share the tests must give them the same names."""
GOOD: Final[dict[str, Any]] = {
    "user": "acme.ann",
    "run": RUN,
    "photo": PHOTO,
    "model": MODEL,
    "app": "acme",
    "upload": "holiday",
    "name": "IMG_1.jpg",
    "version": "7-3",
    "step": "upload",
    "kind": "refusal",
    "act": "refusal",
    "position": 1,
    "attempt": 1,
    "at": datetime(2026, 1, 2, tzinfo=UTC),
    "kept": keys.owner("acme.ann", RUN),
    "stored": keys.model_weights("acme.ann", MODEL, "7-3"),
}
"""A fitting value for each parameter."""
OWN: Final[dict[str, dict[str, Any]]] = {
    "incoming": {"user": "ann"},
    "incoming_prefix": {"user": "ann"},
    "act": {"name": "validation"},
}
"""Where the same word means another thing: the app's own id for its user."""
HOSTILE: Final = (
    "",
    ".",
    "..",
    "../../acme.bob",
    "acme.ann/../acme.bob",
    "acme.ann\n",
    "acme.ann\0",
    "acme.ann ",
    "acme..ann",
    ".acme",
    "acme.ann.bob",
    "acmé.ann",
    "acme.ann%2f..",
    "acme\\ann",
    "/etc/passwd",
    "*",
    "x" * 200,
    "acme.ann?versionId=1",
    "ann@example.com",
    f"{RUN}.{RUN}.{RUN}",
    f"{RUN}\n",
    f"{RUN}/..",
)
LOOSE: Final = {("incoming", "name"), ("quarantined", "kept")}
"""Names of objects: a full stop is theirs, but never the first character."""
BUILDERS: Final = sorted(
    (name, function)
    for name, function in inspect.getmembers(keys, inspect.isfunction)
    if function.__module__ == keys.__name__
    and not name.startswith("_")
    and name not in {"parts", "folder_of", "place"}  # these take keys, and build none
    and not name.startswith(("every_", "probe"))  # these build what policies name, and keys where no object lies
)
Builder = Callable[..., str]


def built(name: str, function: Builder, /, **changes: Any) -> str:
    return function(**{**fitting(name, function), **changes})


def fitting(name: str, function: Builder) -> dict[str, Any]:
    """Arguments that the function takes."""
    good = GOOD | OWN.get(name, {})
    return {each: good[each] for each in inspect.signature(function).parameters}


@pytest.mark.parametrize(("name", "function"), BUILDERS)
def test_a_key_of_good_ids_stays_in_its_place(name: str, function: Builder) -> None:
    key = built(name, function)
    assert keys.parts(key.rstrip("/"))
    taken = inspect.signature(function).parameters
    if "user" in taken and name not in {"incoming", "incoming_prefix"}:
        assert key.startswith(("users/acme.ann/", "quarantine/acme.ann/"))
    if "run" in taken:
        assert RUN in key.split("/")


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize(("name", "function"), BUILDERS)
def test_a_hostile_id_is_refused_in_every_place(name: str, function: Builder, hostile: str) -> None:
    for parameter, good in fitting(name, function).items():
        if isinstance(good, str) and not ((name, parameter) in LOOSE and fits_an_object(hostile)):
            with pytest.raises(BadKey):
                built(name, function, **{parameter: hostile})
        elif isinstance(good, int):
            with pytest.raises(BadKey):
                built(name, function, **{parameter: 0})


def fits_an_object(name: str) -> bool:
    """What only names a file: nothing that leads elsewhere."""
    last = name.rpartition("/")[2]
    return last.isascii() and not last.startswith(".") and last.replace(".", "").replace("-", "").isalnum()


@given(st.sampled_from(BUILDERS), st.data(), st.text())
def test_whatever_is_given_no_key_leaves_the_users_place(
    builder: tuple[str, Builder], data: st.DataObject, text: str
) -> None:
    name, function = builder
    texts = [each for each in inspect.signature(function).parameters if isinstance(GOOD[each], str)]
    if not texts:
        return
    try:
        key = built(name, function, **{data.draw(st.sampled_from(texts)): text})
    except BadKey:
        return
    assert keys.parts(key.rstrip("/"))


@pytest.mark.parametrize(
    "stored",
    [
        keys.model_weights("acme.bob", MODEL, "7-3"),
        keys.model_weights("acme.ann", PHOTO, "7-3"),
        keys.model_metadata("acme.ann", MODEL, "7-3"),
        keys.original("acme.ann", RUN, PHOTO),
        f"users/acme.ann/models/{MODEL}/7-3/../7-3/lora.safetensors",
    ],
)
def test_published_weights_are_those_of_the_users_own_model(stored: str) -> None:
    assert keys.published("acme.ann", MODEL, GOOD["stored"]) == GOOD["stored"]
    with pytest.raises(BadKey):
        keys.published("acme.ann", MODEL, stored)


@pytest.mark.parametrize(
    ("resource", "key"),
    [
        (keys.every_run("clean/*"), f"users/{keys.PROBE}/runs/{RUN}/clean/{RUN}"),
        (keys.every_run("custody/3-dataset-*"), f"users/{keys.PROBE}/runs/{RUN}/custody/3-dataset-{RUN}"),
        (keys.every_user("models/*/lora.safetensors"), f"users/{keys.PROBE}/models/{RUN}/lora.safetensors"),
        (keys.every_user("contact.json"), keys.contact(keys.PROBE)),
        (f"{keys.INCOMING}*", f"incoming/{RUN}"),
    ],
)
def test_a_probe_lies_where_a_policy_reaches_and_nobody_has_anything(resource: str, key: str) -> None:
    assert keys.probe(resource, RUN) == key


@pytest.mark.parametrize(
    ("real", "beside"),
    [
        (keys.clean("acme.ann", RUN, PHOTO), keys.clean(keys.PROBE, RUN, PHOTO)),
        (keys.contact("acme.ann"), keys.contact(keys.PROBE)),
        (keys.swept(GOOD["at"]), f"disposals/{keys.PROBE}"),
    ],
)
def test_the_probe_beside_an_object_needs_the_same_rights(real: keys.Key, beside: str) -> None:
    assert keys.probe_beside(real) == beside


@pytest.mark.parametrize("hostile", ["..", "a/../b", ".hidden", ""])
def test_a_probe_leads_nowhere_else(hostile: str) -> None:
    with pytest.raises(BadKey):
        keys.probe(keys.every_run("clean/*"), hostile)
    with pytest.raises(BadKey):
        keys.probe_beside(keys.Key(f"users/{hostile}/x"))


ROOTS: Final = ("users/", "incoming/", "quarantine/", "disposals/")


def test_no_other_module_spells_a_key() -> None:
    """Of services and libraries; the command line shows places, and the test kit and sandbox keep no objects."""
    package = Path(str(lifemask.objects.__file__)).parent.parent
    files = [*package.rglob("*.py"), *(package.parent.parent / "services").rglob("*.py")]
    spelled = {
        f"{path.name}:{node.lineno}"
        for path in files
        if path != package / "objects" / "keys.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(ROOTS)
    }
    assert len(files) > 100
    assert spelled == set()
