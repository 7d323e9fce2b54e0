"""Whether an attack came to nothing: no bill, no model, the right ones told."""

from tests.attacks.attack import Attack, Scene
from tests.attacks.house import OPERATOR
from tests.system.waiting import eventually


async def assert_harmless(one: Attack, scene: Scene) -> None:
    """With all gates shut."""
    match one.end:
        case "refused":
            await _assert_refused(one, scene)
        case "ready":
            await _assert_own(scene)
        case "rejected":
            assert (scene.view["status"], scene.view["model"]) == ("rejected", None), scene.view
            assert await scene.house.trainings(scene.user, scene.run) == []
    if one.check:
        await one.check(scene)


async def _assert_refused(one: Attack, scene: Scene) -> None:
    view, house = scene.view, scene.house
    assert (view["status"], view["whose_move"], view["model"]) == ("failed", "us", None), view
    assert one.link in view["summary"], view
    if not one.paid:
        assert await house.trainings(scene.user, scene.run) == []
    await eventually(lambda: _gone(scene), 30)
    assert await eventually(lambda: _told(scene))
    if any(attempt["code"] == "custody_broken" for attempt in view["attempts"]):
        _assert_on_record(scene)
        await eventually(lambda: _operator_knows(scene), 30)


async def _told(scene: Scene) -> bool:
    mails = await scene.house.outside.mails(scene.person.email)
    return len([mail for mail in mails if scene.view["next_step"] in mail["text"]]) == 1


async def _operator_knows(scene: Scene) -> bool:
    return any(scene.run in mail["text"] for mail in await scene.house.outside.mails(OPERATOR))


async def _gone(scene: Scene) -> bool:
    return await scene.house.published(scene.user, scene.run) == []


def _assert_on_record(scene: Scene) -> None:
    """A signed refusal, a copy of the statements, a line in the log with the link."""
    custody = scene.house.objects / "users" / scene.user / "runs" / scene.run / "custody"
    assert [path.name for path in custody.glob("refusal-*")], list(custody.iterdir())
    kept = scene.house.objects / "quarantine" / scene.user / scene.run
    assert [path.name for path in kept.glob("refusal-*")]


async def _assert_own(scene: Scene) -> None:
    """A model of exactly the person's own photos."""
    assert scene.view["status"] == "ready", scene.view
    (training,) = await scene.house.trainings(scene.user, scene.run)
    assert len(training["archive"]["members"]) == scene.view["photos"]["usable"]
