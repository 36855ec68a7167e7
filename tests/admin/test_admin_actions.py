"""Laws of what the admin port can change, asked by a real client over a real socket."""

import logging
from collections import Counter
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from aiohttp import ClientSession
from fixtures.policies import World

from sidecar.admin.actions import Actions, Told
from sidecar.admin.front import start
from sidecar.admin.guard import Guard
from sidecar.admin.views import Views
from sidecar.config.secret import Secret
from sidecar.telemetry.journal import Journal

TOKEN = "s3cret-of-the-operator"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Desk:
    """The port, the routes behind it, and who asks."""

    def __init__(self, *, host: str = "127.0.0.1", token: str = "") -> None:
        self.world = World()
        self.drains = 0
        self.journal = Journal()
        self.actions = Actions(
            routes=self.world.routes,
            guard=Guard(host, Secret(token) if token else None),
            drain=self.drain,
            clock=self.world.clock,
            rng=Random(1),
            wall=lambda: 1_000_000.0 + self.world.now,
            note=self.journal.add,
            reload=self.reload,
        )
        self.reloads = 0
        self.reloaded: Told = 200, {}
        self.session: ClientSession

    @property
    def guarded(self) -> Any:
        """The route with a breaker."""
        return self.world.routes[0]

    @property
    def counted(self) -> dict[Any, float]:
        """By action and result."""
        return dict(self.actions.counts())

    async def reload(self) -> Told:
        """What a test says."""
        self.reloads += 1
        return self.reloaded

    def drain(self) -> None:
        """Readiness goes."""
        self.drains += 1

    async def ask(self, path: str, document: Any = None, *, method: str = "POST", **more: Any) -> tuple[int, Any]:
        """Status and document."""
        if document is not None:
            more["json"] = document
        async with self.session.request(method, path, **more) as response:
            return response.status, await response.json()


async def opened(desk: Desk) -> AsyncIterator[Desk]:
    """A desk that is asked over a socket."""
    views = Views(ready=str, metrics=lambda _: b"", metrics_type=lambda _: "text/plain", status=dict, config=dict)
    door = await start(views, "127.0.0.1", 0, desk.actions)
    async with ClientSession(f"http://127.0.0.1:{door.port}") as desk.session:
        yield desk
    await door.close()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """On loopback, without a token."""
    async for one in opened(Desk()):
        yield one


@pytest.fixture
async def locked() -> AsyncIterator[Desk]:
    """On loopback, with one."""
    async for one in opened(Desk(token=TOKEN)):
        yield one


@pytest.fixture
async def exposed() -> AsyncIterator[Desk]:
    """Reachable from everywhere, without one."""
    async for one in opened(Desk(host="0.0.0.0")):
        yield one


async def test_a_breaker_is_held_and_let_go(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The answer shows what it is now; who did it is in the log."""
    code, told = await desk.ask("/routes/guarded/breaker", {"state": "open", "for": "90s"})
    assert code == 200
    assert told["route"] == "guarded"
    assert told["breaker"]["state"] == "open"
    assert told["breaker"]["forced"] == {"state": "open", "until": "1970-01-12T13:49:50Z"}
    assert told["shared_with"] == []
    assert desk.world.breaker.admit() is None
    code, told = await desk.ask("/routes/guarded/breaker", method="DELETE")
    assert (code, told["breaker"]["forced"]) == (200, None)
    assert desk.world.breaker.admit() is not None
    fields = [vars(record)["fields"] for record in caplog.records]
    assert [(f["action"], f["route"], f["by"], f["state"]) for f in fields] == [
        ("breaker", "guarded", "127.0.0.1", "open"),
        ("breaker", "guarded", "127.0.0.1", "auto"),
    ]


async def test_auto_is_to_let_go(desk: Desk) -> None:
    """The same as DELETE."""
    await desk.ask("/routes/guarded/breaker", {"state": "closed"})
    assert desk.world.breaker.forced() == ("closed", 60.0)
    assert (await desk.ask("/routes/guarded/breaker", {"state": "auto"}))[0] == 200
    assert desk.world.breaker.forced() is None


async def test_a_route_without_a_breaker_has_none_to_hold(desk: Desk) -> None:
    """409, and why."""
    for method, document in (("POST", {"state": "open"}), ("DELETE", None)):
        code, told = await desk.ask("/routes/open/breaker", document, method=method)
        assert code == 409
        assert "breaker.enabled" in told["error"]


async def test_a_breaker_that_runs_dry_is_not_held_open(desk: Desk) -> None:
    """It would refuse nothing: 409 is better than a 200 that does nothing."""
    desk.world.breaker._dry_run = True
    code, told = await desk.ask("/routes/guarded/breaker", {"state": "open"})
    assert code == 409
    assert "dry_run" in told["error"]
    assert (await desk.ask("/routes/guarded/breaker", {"state": "closed"}))[0] == 200


async def test_a_shared_breaker_says_whose_it_is(desk: Desk) -> None:
    """Holding it for one route holds it for all."""
    desk.world.routes[1].breaker = desk.world.breaker
    _, told = await desk.ask("/routes/guarded/breaker", {"state": "open"})
    assert told["shared_with"] == ["open"]


async def test_a_fault_is_injected_and_lifted(desk: Desk) -> None:
    """It is on the route, which is where the request looks; a new one takes its place."""
    code, told = await desk.ask("/routes/open/fault", {"abort": 503, "delay": "2s", "ratio": 0.5, "for": "60s"})
    assert code == 200
    assert told == {
        "route": "open",
        "fault": {"abort": 503, "delay": 2.0, "reset": False, "ratio": 0.5, "until": "1970-01-12T13:49:20Z"},
    }
    await desk.ask("/routes/open/fault", {"reset": True})
    fault = desk.world.routes[1].fault
    assert fault is not None
    assert (fault.abort, fault.reset) == (0, True)
    assert await desk.ask("/routes/open/fault", method="DELETE") == (200, {"route": "open", "fault": None})
    assert desk.world.routes[1].fault is None


async def test_what_is_over_is_cleared_away_and_told_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The hot path finds nothing again; one line for each end."""
    await desk.ask("/routes/guarded/breaker", {"state": "open", "for": "5s"})
    await desk.ask("/routes/guarded/fault", {"abort": 500, "for": "10s"})
    caplog.clear()
    for seconds, said in (
        (4.0, []),
        (1.0, ["breaker of guarded is no longer held"]),
        (5.0, ["fault on guarded is over"]),
    ):
        desk.world.now += seconds
        desk.actions.tick()
        desk.actions.tick()
        assert [record.getMessage() for record in caplog.records] == said
        caplog.clear()
    assert desk.guarded.fault is None


async def test_what_is_changed_by_hand_is_in_the_journal(desk: Desk) -> None:
    """Who did what to which route until when, and when it was over by itself; what was refused is not."""
    await desk.ask("/routes/guarded/breaker", {"state": "open", "for": "5s"})
    await desk.ask("/routes/guarded/fault", {"abort": 500, "for": "10s"})
    await desk.ask("/routes/open/fault", {"reset": True})
    await desk.ask("/routes/open/fault", method="DELETE")
    await desk.ask("/routes/open/fault", {"abort": 1})
    desk.world.now += 5.0
    desk.actions.tick()
    entries = list(desk.journal.since())
    assert {entry.kind for entry in entries} == {"action"}
    assert [(e.fields["action"], e.fields["route"], e.fields.get("by"), e.fields.get("until")) for e in entries] == [
        ("forced", "guarded", "127.0.0.1", "1970-01-12T13:48:25Z"),
        ("fault", "guarded", "127.0.0.1", "1970-01-12T13:48:30Z"),
        ("fault", "open", "127.0.0.1", "1970-01-12T13:49:20Z"),
        ("lifted", "open", "127.0.0.1", None),
        ("expired", "guarded", None, None),
    ]
    assert (entries[0].fields["state"], entries[0].subject) == ("open", "guarded")
    assert entries[0].text == "127.0.0.1 holds the breaker of guarded open for 5 s"


async def test_a_drain_withdraws_readiness(desk: Desk) -> None:
    """And takes no keys."""
    assert await desk.ask("/drain", {}) == (200, {"draining": True})
    assert (await desk.ask("/drain", {"for": "1s"}))[0] == 400
    assert desk.drains == 1


async def test_a_reload_answers_what_came_of_it(desk: Desk) -> None:
    """200 and the changes, or 422 and the problems; it takes no keys; each is counted."""
    desk.reloaded = 200, {"changes": ["route a: added"]}
    assert await desk.ask("/reload", {}) == desk.reloaded
    desk.reloaded = 422, {"error": "no", "problems": ["x.yaml:1:1: y"]}
    assert await desk.ask("/reload", {}) == desk.reloaded
    assert (await desk.ask("/reload", {"for": "1s"}))[0] == 400
    assert (desk.reloads, desk.counted["reload", "ok"], desk.counted["reload", "invalid"]) == (2, 1, 2)


async def test_what_is_held_survives_other_routes_and_what_is_gone_is_forgotten(desk: Desk) -> None:
    """After a reload actions are about the routes that there are."""
    route = desk.guarded
    await desk.ask("/routes/guarded/breaker", {"state": "open", "for": "1h"})
    desk.actions.follow(desk.world.routes[1:], Guard("127.0.0.1", None))
    assert (await desk.ask("/routes/guarded/breaker", method="DELETE"))[0] == 404
    desk.actions.tick()
    desk.actions.follow([route], Guard("127.0.0.1", Secret("s3cret-token")))
    assert (await desk.ask("/routes/guarded/breaker", method="DELETE"))[0] == 401


async def test_an_unknown_route_is_404(desk: Desk) -> None:
    """For every action, and whatever its name looks like."""
    for name in ("nothing", "-", "%00", "..%2fguarded"):
        code, _ = await desk.ask(f"/routes/{name}/fault", {"abort": 503})
        assert code == 404
    assert (await desk.ask("/routes/nothing/breaker", method="DELETE"))[0] == 404


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/routes/guarded/breaker", {"POST", "DELETE"}),
        ("/routes/guarded/fault", {"POST", "DELETE"}),
        ("/drain", {"POST"}),
        ("/reload", {"POST"}),
    ],
)
async def test_another_method_is_405(desk: Desk, path: str, allowed: set[str]) -> None:
    """GET above all: a link, or an image, must never change anything."""
    for method in {"GET", "PUT", "DELETE", "OPTIONS"} - allowed:
        async with desk.session.request(method, path) as response:
            assert response.status == 405
            assert {word.strip() for word in response.headers["Allow"].split(",")} == allowed
    assert desk.drains == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_what_a_form_can_send_is_refused(desk: Desk, kind: str) -> None:
    """415: a browser asks before it sends JSON to another origin, and is not allowed."""
    headers = {"Content-Type": kind} if kind else {}
    skip = None if kind else {"Content-Type"}
    code, told = await desk.ask(
        "/routes/guarded/breaker", data=b'{"state": "open"}', headers=headers, skip_auto_headers=skip
    )
    assert (code, "application/json" in told["error"]) == (415, True)
    assert desk.world.breaker.state == "closed"


async def test_a_foreign_page_is_refused(desk: Desk) -> None:
    """403, whatever else is right."""
    foreign = {"Origin": "http://evil.example"}
    assert (await desk.ask("/routes/guarded/breaker", {"state": "open"}, headers=foreign))[0] == 403
    assert (await desk.ask("/routes/guarded/fault", method="DELETE", headers=foreign))[0] == 403
    own = {"Origin": str(desk.session._base_url).rstrip("/")}
    assert (await desk.ask("/routes/guarded/breaker", {"state": "open"}, headers=own))[0] == 200


@pytest.mark.parametrize("length", [4097, 1_000_000])
async def test_a_body_is_short(desk: Desk, length: int) -> None:
    """413 beyond 4 KiB."""
    code, _ = await desk.ask("/routes/guarded/breaker", {"state": "open", "for": "1s" + " " * length})
    assert code == 413
    assert desk.world.breaker.state == "closed"


async def test_with_a_token_nothing_goes_without_it(locked: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """401 and how to ask, for POST and DELETE alike; neither the right token nor a wrong one is told to any log."""
    caplog.set_level(logging.DEBUG)
    for headers in ({}, {"Authorization": "Bearer guessed-wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        for method, document in (("POST", {"state": "open"}), ("DELETE", None)):
            path = "/routes/guarded/breaker"
            async with locked.session.request(method, path, json=document, headers=headers) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
                text = await response.text()
                assert TOKEN not in text
                assert "guessed" not in text
    assert locked.world.breaker.state == "closed"
    assert (await locked.ask("/routes/guarded/breaker", {"state": "open"}, headers=BEARER))[0] == 200
    assert "127.0.0.1" in caplog.text
    assert TOKEN not in caplog.text
    assert "guessed" not in caplog.text
    assert locked.counted == {("breaker", "denied"): 6, ("breaker", "ok"): 1}


async def test_beyond_loopback_without_a_token_nothing_goes(exposed: Desk) -> None:
    """403 that says what to set; the port itself works."""
    code, told = await exposed.ask("/routes/guarded/breaker", {"state": "open"}, headers=BEARER)
    assert (code, "admin.token" in told["error"]) == (403, True)
    assert (await exposed.ask("/drain", {}))[0] == 403
    assert (await exposed.ask("/healthz", method="GET"))[0] == 200
    assert exposed.drains == 0


async def test_every_request_for_an_action_counts_once(desk: Desk) -> None:
    """By its result: done, not as it must be, not allowed."""
    wanted: Counter[tuple[str, str]] = Counter()
    for document in ({"abort": 503}, {"abort": 1}, {}):
        code, _ = await desk.ask("/routes/guarded/fault", document)
        wanted["fault", "ok" if code == 200 else "invalid"] += 1
    await desk.ask("/routes/guarded/fault", {"abort": 503}, headers={"Origin": "http://evil.example"})
    wanted["fault", "denied"] += 1
    assert desk.counted == wanted
