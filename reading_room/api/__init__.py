"""The HTTP API: JSON in snake_case, OpenAPI at ``/api/openapi.json``, a bearer token or a browser session."""

from __future__ import annotations

from reading_room.api import (
    administration,
    critical,
    deliveries,
    orders,
    places,
    readings,
    reports,
    studies,
    uploads,
    users,
)

ROUTERS = (
    readings.router,
    reports.router,
    orders.router,
    studies.router,
    uploads.router,
    critical.router,
    deliveries.router,
    administration.router,
    places.router,
    users.router,
)
