"""Every form that a journal has had, as steps from one to the next. A released step is never changed."""

from llem.migrations.m0001_events import create_events
from sqlite_utils import Migrations

journal_migrations = Migrations("llem.journal")
journal_migrations(name="m0001_events")(create_events)
