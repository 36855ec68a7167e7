"""The rows, in the order of the page."""

from conformance.rows import autobahn, clients, eventsource, h1spec, httpbin, slow

ROWS = (
    h1spec.ROW,
    eventsource.ROW,
    httpbin.REQUESTS_ROW,
    httpbin.HTTPBIN_ROW,
    clients.ROW,
    autobahn.ROW,
    slow.ROW,
)
