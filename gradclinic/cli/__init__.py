"""The command line: each command parses, calls the library or the client, prints, and ends with a documented code.

Exit codes: 0 healthy enough, 1 a finding at or above `--fail-on`, 2 the spec or the call is wrong, 3 the service (or
this machine) could not do it or was not reached, 4 not finished within `--timeout`, 130 interrupted.
"""

from gradclinic.cli.app import main, make_app

__all__ = ["main", "make_app"]
