"""Laws of the digest: what is wrong is told once, soon and together; what was told as wrong is told as over."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from telemetry_people import EPOCH, FakeRoute, People, routes_of

from sidecar.telemetry.digest import LONGEST_WAIT
from sidecar.telemetry.message import Message


def people(*names: str, upstream: str = "connect", **changed: object) -> People:
    """Somebody who is told about routes of one upstream."""
    return People({name: FakeRoute(upstream) for name in names or ("toggles",)}, **changed)


def test_a_quiet_sidecar_says_nothing() -> None:
    """Not a word in two hours."""
    assert people().wait(7200) == []


def test_an_opening_is_told_after_one_window_and_its_end_after_another() -> None:
    """Who, since when, why, and what callers were given meanwhile."""
    world = people()
    world.wait(10)
    world.move("toggles", "open", failures={"connect attempt_timeout": 5})
    world.routes["toggles"].give("fail_closed", 7)
    (message,) = world.wait(30)
    (line,) = message.opened
    assert (line.route, line.upstream, line.kinds, line.at) == (
        *("toggles", "connect", ("breaker_open", "fail_closed"), EPOCH + 10.0),
    )
    assert (line.callers, line.failures) == ({"fail_closed": 7}, {"connect attempt_timeout": 5})
    world.wait(60)
    world.routes["toggles"].give("last_known_good", 3)
    world.move("toggles", "closed")
    assert world.wait(29) == []
    (message,) = world.wait(1)
    (line,) = message.recovered
    assert (line.route, line.seconds) == ("toggles", 90.0)
    assert line.callers == {"fail_closed": 7, "last_known_good": 3}
    assert world.wait(7200) == []


def test_twelve_routes_of_one_upstream_are_one_message() -> None:
    """They find out one after another, and recover one after another."""
    names = [f"r{number}" for number in range(12)]
    world = people(*names)
    for name in names:
        world.move(name, "open")
        world.wait(2)
    (message,) = world.wait(6)
    assert routes_of(message.opened) == names
    for name in names:
        world.move(name, "closed")
        world.wait(7)
    (message,) = world.wait(60)
    assert routes_of(message.recovered) == names
    assert len(world.told) == 2


def test_what_opens_later_is_told_less_often() -> None:
    """Whoever knows that the upstream is ill needs no message for each further route."""
    names = [f"r{number}" for number in range(12)]
    world = people(*names, after=1e9)
    for name in names:
        world.move(name, "open")
        world.wait(50)
    world.wait(LONGEST_WAIT)
    told = [routes_of(message.opened) for _, message in world.told]
    assert [name for names in told for name in names] == names
    assert [len(names) for names in told] == [1, 2, 3, 5, 1]


def test_a_breaker_that_probes_in_vain_is_one_incident() -> None:
    """open, half-open, open …: told once."""
    world = people()
    for _ in range(20):
        world.move("toggles", "open")
        world.wait(20)
        world.move("toggles", "half_open")
        world.wait(5)
    assert len(world.told) == 1


def test_what_breaks_again_before_its_recovery_was_told_goes_on() -> None:
    """Closed for less than a window is not over: no message says so."""
    world = people()
    for _ in range(10):
        world.move("toggles", "open")
        world.wait(20)
        world.move("toggles", "closed")
        world.wait(25)
    assert len(world.told) == 1
    (message,) = world.wait(30)
    assert message.recovered[0].seconds == 9 * 45.0 + 20.0


def test_an_upstream_that_flaps_slowly_is_told_of_less_and_less() -> None:
    """Well and ill by turns of 45 s for six hours: a message each time would be 960 of them."""
    world = people()
    for _ in range(240):
        world.move("toggles", "open")
        world.wait(45)
        world.move("toggles", "closed")
        world.wait(45)
    assert len(world.told) < 10


def test_after_an_hour_of_health_an_upstream_is_new() -> None:
    """Its next outage is told as soon as its first."""
    world = people()
    for _ in range(3):
        world.move("toggles", "open")
        assert len(world.wait(31)) == 1
        world.move("toggles", "closed")
        assert len(world.wait(31)) == 1
        world.wait(3_700)


def test_a_short_one_is_told_once_as_over() -> None:
    """Opened and well again within the window: nobody is sent to look at what is no more."""
    world = people()
    world.move("toggles", "open")
    world.wait(12)
    world.move("toggles", "closed")
    (message,) = world.wait(60)
    assert (message.opened, routes_of(message.recovered)) == ((), ["toggles"])
    assert message.recovered[0].seconds == 12.0


def test_an_incident_that_lasts_is_told_again_once() -> None:
    """Those that are about to be old enough are told with the first that is."""
    world = people("a", "b")
    world.move("a", "open")
    world.wait(20)
    world.move("b", "open")
    world.wait(570)
    (message,) = world.wait(10)
    assert routes_of(message.escalated) == ["a", "b"]
    assert world.wait(7200) == []


def test_a_receiver_hears_only_of_what_it_asked_for() -> None:
    """`on` filters kinds, and their recoveries with them."""
    world = people(on=("config_rejected",))
    world.move("toggles", "open")
    world.routes["toggles"].give("fail_closed", 10)
    world.wait(700)
    world.move("toggles", "closed")
    assert world.wait(700) == []
    world = people(on=("fail_closed",))
    world.move("toggles", "open")
    assert world.wait(700) == []


def test_failing_closed_ends_with_an_answer_not_with_silence() -> None:
    """A critical route nobody calls any more has not recovered."""
    world = people(on=("fail_closed",))
    world.routes["toggles"].give("fail_closed", 3)
    (message,) = world.wait(40)
    assert (message.opened[0].kinds, message.opened[0].callers) == (("fail_closed",), {"fail_closed": 3})
    assert world.wait(500) == []
    world.routes["toggles"].give("client_gone")
    assert world.wait(60) == []
    world.routes["toggles"].give("ok")
    (message,) = world.wait(60)
    assert routes_of(message.recovered) == ["toggles"]


def test_a_rejected_configuration_is_told_once_with_its_problems_and_when_it_is_put_right() -> None:
    """A file watcher that finds the same again says nothing new."""
    world = people()
    for _ in range(5):
        world.journal.add("config", "", "rejected", result="rejected", problems=["f:1:2: listen: nonsense"])
        world.wait(60)
    assert [message.rejected for _, message in world.told] == [("f:1:2: listen: nonsense",)]
    world.journal.add("config", "", "rejected", result="rejected", problems=["f:9:9: routes: nonsense"])
    (message,) = world.wait(60)
    assert message.rejected == ("f:9:9: routes: nonsense",)
    world.journal.add("config", "", "taken", result="ok", changes=[])
    (message,) = world.wait(60)
    assert (message.rejected, message.accepted) == ((), True)
    world.journal.add("config", "", "taken", result="ok", changes=[])
    assert world.wait(60) == []


def test_everything_within_a_window_is_one_message() -> None:
    """Two upstreams and a configuration."""
    world = People({"a": FakeRoute("one"), "b": FakeRoute("two")})
    world.move("a", "open")
    world.wait(10)
    world.journal.add("config", "", "rejected", result="rejected", problems=["p"])
    world.wait(10)
    world.move("b", "open")
    (message,) = world.wait(60)
    assert (routes_of(message.opened), message.rejected) == (["a", "b"], ("p",))


def test_a_route_that_is_no_longer_configured_is_over() -> None:
    """A reload that removes it ends its incident: nobody would ever close its breaker."""
    world = people("a", "b")
    world.move("a", "open")
    world.wait(40)
    del world.routes["a"]
    (message,) = world.wait(40)
    assert routes_of(message.recovered) == ["a"]


def test_an_operators_hold_is_no_incident() -> None:
    """`broken` says nothing while somebody holds the breaker: it neither begins nor ends one."""
    world = people()
    world.routes["toggles"].broke = None
    assert world.wait(700) == []
    world.move("toggles", "open")
    world.wait(40)
    world.routes["toggles"].broke = None
    assert world.wait(500) == []


def test_what_waits_at_the_end_is_told() -> None:
    """There is no other tick: an opening, a recovery that has not lasted yet, a rejection."""
    world = people("a", "b")
    assert world.digest.last() is None
    world.move("a", "open")
    world.wait(40)
    world.move("a", "closed")
    world.wait(5)
    world.move("b", "open")
    message = world.digest.last()
    assert message is not None
    assert (routes_of(message.opened), routes_of(message.recovered)) == (["b"], ["a"])
    assert world.digest.last() is None


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["open", "half_open", "closed", "fail_closed", "ok"]),
        st.integers(min_value=1, max_value=200),
    ),
    max_size=30,
)


@settings(max_examples=50, deadline=None)
@given(EVENTS)
def test_whatever_happens_nothing_is_told_that_is_not_so_and_nothing_is_kept_back(
    events: list[tuple[str, str, int]],
) -> None:
    """Any order of moves: few messages, each route told ill and well by turns, and in the end exactly as it is."""
    world = People({"a": FakeRoute("one"), "b": FakeRoute("one"), "c": FakeRoute("two")})
    for route, what, seconds in events:
        if what in ("fail_closed", "ok"):
            world.routes[route].give(what)
        elif what != "half_open" or world.routes[route].broke is not False:
            world.move(route, what)
        world.wait(seconds)
    for route in world.routes.values():
        route.broke = False if route.broke is None else route.broke
        if not route.broke:
            route.give("ok")
    world.wait(5 * LONGEST_WAIT, tick=10.0)
    ill: set[str] = set()
    for _, message in world.told:
        _take(message, ill)
    assert ill == {name for name, route in world.routes.items() if route.broke}
    plain = [at for at, message in world.told if not message.escalated]
    assert all(later - sooner >= 30.0 for sooner, later in pairwise(plain))


def _take(message: Message, ill: set[str]) -> None:
    for line in message.opened:
        assert line.route not in ill
        ill.add(line.route)
    assert set(routes_of(message.escalated)) <= ill
    ill -= set(routes_of(message.recovered))
