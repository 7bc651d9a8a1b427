"""The pages, rendered on the server: one module for each group of people who use them."""

from __future__ import annotations

from reading_room.pages import (
    audit,
    cases,
    configuration,
    door,
    ledger,
    orders,
    people,
    reports,
    studies,
    uploads,
    verify,
    viewer,
)

routers = [
    door.router,
    orders.router,
    cases.router,
    reports.router,
    studies.router,
    uploads.router,
    viewer.router,
    verify.router,
    ledger.router,
    configuration.router,  # its /admin/{name} comes after every other /admin page
    people.router,
    audit.router,
]
