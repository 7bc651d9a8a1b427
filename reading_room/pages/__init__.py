"""The pages, rendered on the server: one module for each group of people who use them."""

from __future__ import annotations

from reading_room import live
from reading_room.pages import (
    account,
    aids,
    archive,
    audit,
    break_glass,
    cases,
    channels,
    configuration,
    critical,
    desk,
    devices,
    door,
    ledger,
    manager,
    manager_assign,
    manager_figures,
    manager_recognition,
    manager_rota,
    notices,
    offering,
    order_lists,
    ordering,
    orders,
    own_reports,
    patients,
    people,
    reading_list,
    reports,
    routing,
    sharing,
    stories,
    studies,
    uploads,
    verify,
    viewer,
)

routers = [
    door.router,
    account.router,
    break_glass.router,
    stories.router,  # before what takes any word behind an order
    order_lists.router,  # before what takes any word as an order
    offering.router,  # before what takes any word as an order
    ordering.router,  # before what takes any word as an order
    orders.router,
    patients.router,
    live.router,
    desk.router,
    notices.router,
    critical.router,
    reading_list.router,  # before what takes any word as a case
    aids.router,
    cases.router,
    own_reports.router,
    reports.router,
    studies.router,
    uploads.router,
    viewer.router,
    verify.router,
    sharing.router,
    ledger.router,
    manager.router,
    manager_figures.router,
    manager_assign.router,
    manager_rota.router,
    manager_recognition.router,
    devices.router,
    routing.router,
    archive.router,
    channels.router,
    configuration.router,  # its /admin/{name} comes after every other /admin page
    people.router,
    audit.router,
]
