"""Every key of the object store, built here and nowhere else.

A key accepts only ids of the contracts' alphabet, so that no id can leave its user's prefix.
"""

import re
from datetime import UTC, datetime
from typing import Final, NewType

from lifemask.contracts.ids import NAME_PATTERN, OWN_APP, USER_PATTERN, UUID7_PATTERN

Key = NewType("Key", str)
"""Path of one object, folders separated by `/`, relative to the bucket."""

INCOMING: Final = "incoming/"
"""Everything that apps may write."""

USERS: Final = "users/"
"""Everything of all users."""

QUARANTINE: Final = "quarantine/"
"""Copies of the statements of refused runs."""

DISPOSALS: Final = "disposals/"
"""What was disposed of without belonging to a run."""

SIGNED: Final = ".dsse.json"
"""How the name of a signed statement ends."""

PROBE: Final = f"{OWN_APP}.probe"
"""The user whom rights at the store are tried for. No app's: nobody has such an id."""

_USER: Final = re.compile(USER_PATTERN)
_UUID: Final = re.compile(UUID7_PATTERN)
_NAME: Final = re.compile(NAME_PATTERN)
_OBJECT: Final = re.compile(r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")
_PART: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,128}")


class BadKey(ValueError):
    """An id that may not be part of a key."""


def parts(key: str) -> tuple[str, ...]:
    """The folders and the name of a key; what every store checks before it uses one. Raises BadKey."""
    found = tuple(key.split("/"))
    if not all(_PART.fullmatch(part) for part in found):
        raise BadKey("a key is made of A-Z, a-z, 0-9, _, - and ., and no part starts with a full stop")
    return found


def folder_of(prefix: str) -> str:
    """The deepest folder that a listing of `prefix` needs, with the closing slash; empty for all. Raises BadKey."""
    folder, slash, _ = prefix.rpartition("/")
    if folder or slash:
        parts(folder)
    return folder + slash


def place(key: str) -> str:
    """As much of a key or prefix as may be shown: `users/acme.user-42/…` gives `users/…`."""
    first, slash, _ = key.partition("/")
    return f"{first}/…" if slash else first


def probe(resource: str, name: str) -> Key:
    """A key that a policy's `resource` covers (`users/*/runs/*/clean/*`), where nobody's object ever lies.

    `name` keeps two probes apart that run at once.
    """
    made = list[str]()
    for part in resource.split("/"):
        own = PROBE if made == ["users"] else _checked(_OBJECT, name)
        made.append(part.replace("*", own))
    parts("/".join(made))
    return Key("/".join(made))


def probe_beside(key: Key) -> Key:
    """A key that the same rights cover as `key`, in the probe's name: nobody's object lies there."""
    parts(key)
    folder, _, rest = key.partition("/")
    _, slash, name = rest.partition("/")
    return Key(f"{folder}/{PROBE}{slash}{name}")


def every_run(rest: str) -> str:
    """Of every run, what `rest` names (`clean/*`), as policies write it."""
    return f"{USERS}*/runs/*/{rest}"


def every_user(rest: str) -> str:
    """Of every user, what `rest` names (`models/*`), as policies write it."""
    return f"{USERS}*/{rest}"


def incoming(app: str, user: str, upload: str, name: str) -> Key:
    """The only place an app can write; `user` is the app's own id."""
    checked = (_checked(_NAME, app), _checked(_NAME, user), _checked(_NAME, upload), _checked(_OBJECT, name))
    return Key("/".join(("incoming", *checked)))


def incoming_prefix(app: str, user: str, upload: str) -> str:
    """All objects of one upload, with the closing slash."""
    return "/".join(("incoming", _checked(_NAME, app), _checked(_NAME, user), _checked(_NAME, upload), ""))


def contact(user: str) -> Key:
    """The person's e-mail address."""
    return Key(f"{user_prefix(user)}contact.json")


def user_prefix(user: str) -> str:
    """Everything of one user, with the closing slash."""
    return f"users/{_checked(_USER, user)}/"


def run_prefix(user: str, run: str) -> str:
    """Everything of one run, with the closing slash."""
    return f"{user_prefix(user)}runs/{_checked(_UUID, run)}/"


def original(user: str, run: str, photo: str) -> Key:
    """A photo as it was uploaded."""
    return Key(f"{run_prefix(user, run)}original/{_checked(_UUID, photo)}")


def names(user: str, run: str) -> Key:
    """The person's own file names, for showing verdicts."""
    return Key(f"{run_prefix(user, run)}names.json")


def request(user: str, run: str) -> Key:
    """What the person chose: name, trigger word, numbers, metadata."""
    return Key(f"{run_prefix(user, run)}request.json")


def clean(user: str, run: str, photo: str) -> Key:
    """A photo without metadata, ready for training."""
    return Key(f"{run_prefix(user, run)}clean/{_checked(_UUID, photo)}.jpg")


def verdict(user: str, run: str, photo: str) -> Key:
    """Measurements, thresholds and codes of one photo."""
    return Key(f"{run_prefix(user, run)}verdicts/{_checked(_UUID, photo)}.json")


def archive(user: str, run: str, attempt: int) -> Key:
    """The training archive of one attempt."""
    return Key(f"{run_prefix(user, run)}archive/{_number(attempt)}.zip")


def weights(user: str, run: str, attempt: int) -> Key:
    """The weights as the trainer copied them out."""
    return Key(f"{run_prefix(user, run)}weights/{_number(attempt)}.safetensors")


def owner(user: str, run: str) -> Key:
    """The run's salt and owner; erasable."""
    return Key(f"{run_prefix(user, run)}custody/owner.json")


def statement(user: str, run: str, position: int, step: str, attempt: int) -> Key:
    """A signed custody statement. `position` is the step's place in the chain, from 1."""
    return Key(f"{_custody(user, run, position, step, attempt)}{SIGNED}")


def manifest(user: str, run: str, position: int, step: str, attempt: int) -> Key:
    """The private part of a custody statement; erasable."""
    return Key(f"{_custody(user, run, position, step, attempt)}.manifest.json")


def acts_prefix(user: str, run: str, act: str) -> str:
    """What the signed acts of one kind begin with."""
    return f"{run_prefix(user, run)}custody/{_checked(_NAME, act)}-"


def act(user: str, run: str, kind: str, name: str, at: datetime) -> Key:
    """A signed act beside the chain: a refusal, a disposal, a revocation."""
    return Key(f"{acts_prefix(user, run, kind)}{_checked(_NAME, name)}-{_moment(at)}{SIGNED}")


def quarantined(user: str, run: str, kept: Key) -> Key:
    """A copy of one of the run's signed statements, kept because the run was refused."""
    name = kept.rpartition("/")[2]
    return Key("/".join(("quarantine", _checked(_USER, user), _checked(_UUID, run), _checked(_OBJECT, name))))


def swept(at: datetime) -> Key:
    """The signed statement of what a sweep of the incoming prefix disposed of."""
    return Key(f"disposals/{_moment(at)}{SIGNED}")


def model_versions(user: str, model: str) -> str:
    """Every version of one model, with the closing slash."""
    return f"{user_prefix(user)}models/{_checked(_UUID, model)}/"


def model_prefix(user: str, model: str, version: str) -> str:
    """One version of a model in the model store; `version` is `{version}-{epoch}`. Written by the publisher alone."""
    if not re.fullmatch(r"[0-9]+-[0-9]+", version):
        raise BadKey("a model version is two numbers joined by a hyphen")
    return f"{model_versions(user, model)}{version}/"


def model_weights(user: str, model: str, version: str) -> Key:
    """The published weights."""
    return Key(f"{model_prefix(user, model, version)}lora.safetensors")


def published(user: str, model: str, stored: str) -> Key:
    """The published weights that an event or a row names, when they are of this model of this user. Raises BadKey."""
    version = stored.rpartition("/")[0].rpartition("/")[2]
    if (key := model_weights(user, model, version)) != stored:
        raise BadKey("the key is not that of the user's model")
    return key


def model_metadata(user: str, model: str, version: str) -> Key:
    """What the published weights are."""
    return Key(f"{model_prefix(user, model, version)}metadata.json")


def _custody(user: str, run: str, position: int, step: str, attempt: int) -> str:
    return f"{run_prefix(user, run)}custody/{_number(position)}-{_checked(_NAME, step)}-{_number(attempt)}"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")


def _checked(pattern: re.Pattern[str], part: str) -> str:
    if not pattern.fullmatch(part):
        raise BadKey("an id outside the allowed alphabet cannot be part of a key")
    return part


def _number(value: int) -> str:
    if value < 1:
        raise BadKey("numbers in keys start at 1")
    return str(value)
