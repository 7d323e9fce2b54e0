"""Plays attacks on one system, those that need the same service stopped side by side, each on a person of its own."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tests.attacks.attack import Attack, Scene
from tests.attacks.house import House
from tests.system.app import Person
from tests.system.photos import good
from tests.system.waiting import eventually

PHOTOS = 12
SECONDS = 60.0
"""For one batch of runs to its end."""
SHORT = 25.0
"""The same where gates are away."""

Results = dict[str, Scene | BaseException]


async def play(house: House, attacks: Sequence[Attack], *, opened: bool, donor: tuple[Person, str]) -> Results:
    """The scene of each attack when its run was over, or what went wrong before."""
    batches: Mapping[tuple[str | None, bool, str], list[Attack]] = defaultdict(list)
    for number, one in enumerate(attacks):
        batches[one.at, one.alone, str(number) if one.alone else ""].append(one)
    results: Results = {}
    for (service, _, _), batch in batches.items():
        results |= await _batch(house, service, batch, opened=opened, donor=donor)
    return results


async def _batch(
    house: House, service: str | None, batch: Sequence[Attack], *, opened: bool, donor: tuple[Person, str]
) -> Results:
    """A bystander goes along in each batch: a run that nobody strikes."""
    scenes = {one.name: Scene(house, house.person(), *donor) for one in batch}
    failed: Results = {}
    if opened:
        for one in batch:
            house.open(scenes[one.name].user, one.gates)

    async def each(phase: str) -> None:
        going = [one for one in batch if one.name not in failed]
        done = await asyncio.gather(*(_PHASES[phase](one, scenes[one.name]) for one in going), return_exceptions=True)
        for one, problem in zip(going, done, strict=True):
            if isinstance(problem, BaseException):
                failed[one.name] = problem

    bystander = Scene(house, house.person(), *donor)
    try:
        async with house.held(service):  # or, while the provider is busy, until it is asked again
            beside = [] if batch[0].alone else [_bring(_NOBODY(service), bystander)]
            await asyncio.gather(each("bring"), *beside)
            await each("strike")
        if batch[0].alone:  # the provider's or the hub's fault has found its victim by now
            await each("end")
            await _bring(_NOBODY(service), bystander)
        await asyncio.gather(each("end"), _end(_NOBODY(service), bystander))
        assert bystander.view["status"] == "ready", bystander.view
        failed["bystander"] = bystander
    except BaseException as problem:  # noqa: BLE001 - every attack of the batch is told
        return {one.name: problem for one in batch}
    return {**scenes, **failed}


async def _bring(one: Attack, scene: Scene) -> None:
    """The victim's run, as far as the stopped service."""
    if one.prepare:
        await one.prepare(scene)
        return
    scene.run = await scene.person.accepted(good(PHOTOS))
    await scene.reaches(one.at)


async def _strike(one: Attack, scene: Scene) -> None:
    await one.strike(scene)


async def _end(one: Attack, scene: Scene) -> None:
    """With a gate away a run need not end: the attack's own look at it decides."""
    if one.end == "untouched" or scene.view:
        return
    try:
        scene.view = await scene.person.ended(scene.run, SHORT if scene.house.opened else SECONDS)
    except AssertionError:
        if not scene.house.opened:
            raise
        scene.view = await scene.person.view(scene.run)


_PHASES = {"bring": _bring, "strike": _strike, "end": _end}


async def _nothing(_scene: Scene) -> None:
    """Strikes nobody."""


def _NOBODY(at: str | None) -> Attack:  # noqa: N802 - a constant but for its place
    return Attack("bystander", _nothing, (), at=at, end="ready")


async def a_donor(house: House) -> tuple[Person, str]:
    """Somebody else whose photos, archive and statements are there all the time: the training takes very long."""
    await house.outside.fault("training", "timing", queue_seconds=0, seconds=3000)
    person = house.person()
    run = await person.accepted(good(PHOTOS, seed=2))
    await person.training(run)
    training = (await house.trainings(person.bus_id, run))[0]["id"]

    async def fetched() -> bool:
        return (await house.outside.training(training))["archive"] is not None

    await eventually(fetched)
    return person, run
