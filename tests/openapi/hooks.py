"""Hooks of schemathesis: most requests for one object ask for one that is stored."""

import json
import os
import zlib

import schemathesis

# By the first word of the path.
IDS = json.loads(os.environ.get("POSTROOM_IDS", "{}"))


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Takes a stored id for three of four that were made up; which one depends on that alone."""
    if not path_parameters:
        return path_parameters
    words = context.operation.path.removeprefix("/api/v1").strip("/").split("/")
    known = IDS.get(words[0], [])
    name = next((it for it in ("id", "client") if it in path_parameters), None)
    if name and known:
        mark = zlib.crc32(str(path_parameters[name]).encode("utf-8", "replace"))
        if mark % 4:
            path_parameters[name] = known[(mark // 4) % len(known)]
    return path_parameters
