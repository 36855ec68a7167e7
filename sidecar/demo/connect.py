"""Plays connect: the two endpoints that connect-id calls, and a switch for what goes wrong with them.

    GET  /api/users/invited/?phone_number=…              {"invited": true}
    GET  /api/toggles/?username=…&phone_number=…         {"toggles": {…}}
    GET  /fault                                          what is on
    POST /fault/{hang|500|empty|reset|slow|off}          switches

Both want Basic credentials, any. Nothing a caller sends is logged.
"""

from aiohttp import web

from sidecar.demo.faults import FAULTS, Switch, misbehaviour

TOGGLES = {
    "toggles": {
        "PERSONAL_ID": {"active": True, "created_at": "2025-01-15T09:00:00Z"},
        "MESSAGING": {"active": False, "created_at": "2025-03-02T09:00:00Z"},
    }
}

_SWITCH = web.AppKey("switch", Switch)


def application(switch: Switch) -> web.Application:
    """The service as an aiohttp application."""
    service = web.Application(middlewares=[misbehaviour(switch)])
    service.router.add_get("/toggles/", _toggles)
    service.router.add_get("/users/invited/", _invited)

    app = web.Application()
    app[_SWITCH] = switch
    app.add_subapp("/api/", service)
    app.router.add_get("/fault", _show)
    app.router.add_post("/fault/{fault}", _turn)
    return app


async def _toggles(request: web.Request) -> web.Response:
    if not {"username", "phone_number"} & request.query.keys():
        return web.json_response({"detail": "say username or phone_number"}, status=400)
    return _known(request, TOGGLES)


async def _invited(request: web.Request) -> web.Response:
    if "phone_number" not in request.query:
        return web.json_response({"detail": "say phone_number"}, status=400)
    return _known(request, {"invited": True})


def _known(request: web.Request, document: object) -> web.Response:
    if not request.headers.get("Authorization", "").startswith("Basic "):
        return web.json_response({"detail": "credentials are missing"}, status=401)
    return web.json_response(document)


async def _show(request: web.Request) -> web.Response:
    fault = request.app[_SWITCH].fault
    return web.json_response({"fault": fault, "upstream": FAULTS[fault]})


async def _turn(request: web.Request) -> web.Response:
    fault = request.match_info["fault"]
    if fault not in FAULTS:
        return web.json_response({"detail": "no such fault", "faults": FAULTS}, status=404)
    request.app[_SWITCH].turn(fault)
    return await _show(request)
