"""connect-id in small: a Django application that asks connect twice, in sequence, in one request.

As there, a failed invitation look-up counts as "not invited" and the request goes on, the toggles' failure is
the caller's failure, and between the two there is other work (an integrity check at a third party). It is
configured by its environment:

    CONNECT_URL     where its two calls go: connect itself, or the sidecar
    CALL_TIMEOUT    seconds, `requests`' timeout (15 in production)
    OTHER_WORK      seconds spent besides (5 in production, at worst)
"""

import os
import time
from typing import Any

import requests
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    CONNECT_URL=os.environ["CONNECT_URL"],
    CALL_TIMEOUT=float(os.environ["CALL_TIMEOUT"]),
    CONNECT_AUTH=("connect-id", "secret"),
    OTHER_WORK=float(os.environ["OTHER_WORK"]),
    ROOT_URLCONF=__name__,
)


def _ask(endpoint: str, phone_number: str) -> requests.Response:
    return requests.get(
        settings.CONNECT_URL + endpoint,
        auth=settings.CONNECT_AUTH,
        params={"phone_number": phone_number},
        timeout=settings.CALL_TIMEOUT,
    )


def _invited(phone_number: str) -> bool:
    try:
        document: dict[str, Any] = _ask("/api/users/invited/", phone_number).json()
    except requests.RequestException:
        return False
    return bool(document.get("invited", False))


def configuration(request: HttpRequest) -> HttpResponse:
    """What the mobile app asks for when it starts; connect's own words are passed on."""
    phone_number = request.GET["phone_number"]
    invited = _invited(phone_number)
    time.sleep(settings.OTHER_WORK)  # the integrity check
    try:
        toggles = _ask("/api/toggles/", phone_number)
    except requests.RequestException:
        return JsonResponse({"error_code": "CONFIGURATION_TEMPORARILY_UNAVAILABLE"}, status=503)
    if toggles.status_code != 200:
        return HttpResponse(toggles.content, status=toggles.status_code, content_type="application/json")
    return JsonResponse({"invited": invited, **toggles.json()})


def worker(_request: HttpRequest) -> HttpResponse:
    """Which worker answers."""
    return JsonResponse({"pid": os.getpid()})


urlpatterns = [path("configuration/", configuration), path("worker/", worker)]
application = get_wsgi_application()
