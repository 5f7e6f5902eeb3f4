"""Migrate the database of `GRADCLINIC_DATABASE_URL` and exit: the one-shot job before service and workers start."""

from __future__ import annotations

import sys

from store.engine import make_engine
from store.schema import migrate
from store.settings import Settings
from store.transactions import Store


def main() -> int:
    """Migrate; two such jobs at once wait for each other."""
    engine = make_engine(Settings().database)
    try:
        migrate(engine)
    finally:
        Store(engine).close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
