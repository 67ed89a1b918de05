"""What a request says of entity tags (RFC 9110, sections 8.8.3 and 13.1)."""

import re

TAG = re.compile(rb'[ \t,]*(?P<weak>W/)?(?P<opaque>"[^"]*")[ \t]*(?=,|$)')


def names(condition: bytes, tag: bytes) -> bool:
    """Tell whether `If-None-Match` names a tag, so that who asks has what it is of.

    Tags are compared weakly: `W/"x"` is `"x"`. What cannot be read of the condition is ignored.
    """
    return tag.removeprefix(b"W/") in _opaque_tags(condition)


def none_match_fails(condition: bytes, tag: bytes) -> bool:
    """Tell whether 304 is the answer, where there is one with this tag: `*` stands for any."""
    return condition.strip() == b"*" or names(condition, tag)


def _opaque_tags(condition: bytes) -> set[bytes]:
    found = set()
    match = TAG.match(condition)
    while match:
        found.add(match["opaque"])
        match = TAG.match(condition, match.end())
    return found
