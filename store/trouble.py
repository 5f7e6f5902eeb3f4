"""What a database raises when it is away or overrun, whatever was asked of it. It says nothing about the question."""

from __future__ import annotations

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

DATABASE_TROUBLE = (OperationalError, InterfaceError, InternalError, PoolTimeout)
"""For an `except`. The same thing may go well a moment later: try again, or tell the caller to.

`OperationalError` is a connection lost, refused or locked out; `InterfaceError` one that was closed under our feet;
`InternalError` a server that only reads after a change of roles; `PoolTimeout` more asking than connections.
"""
