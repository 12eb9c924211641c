"""How the tests' Python scripts reach an embedded workspace, by way of the samples: importing it reads the connection file that is the first argument."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "samples", "clients"))
from amlops_local import Local  # noqa: E402

_first = Local(sys.argv[1])
connection = _first.connection


def client(place=None):
    """azure-ai-ml of a workspace by its name (default: the first; one that the file does not know: beside the first), or of `registry:NAME`."""
    if place and place.startswith("registry:"):
        return _first.ml_client(registry=place[9:])
    known = any(w["name"] == place for w in connection["workspaces"])
    local = Local(sys.argv[1], place) if known else _first
    if place and not known:
        local.place = {**local.place, "name": place}
    return local.ml_client()
