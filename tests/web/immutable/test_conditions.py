"""`If-None-Match` is read as RFC 9110 has it."""

import pytest

from web.immutable.conditions import none_match_fails


@pytest.mark.parametrize(
    "condition",
    [
        b"*",
        b" * ",
        b'"ab"',
        b'W/"ab"',
        b'"x", "ab"',
        b'"x",W/"ab" , "y"',
        b', "ab"',
        b'"a,b","ab"',
    ],
)
def test_who_has_it(condition: bytes) -> None:
    assert none_match_fails(condition, b'W/"ab"')
    assert none_match_fails(condition, b'"ab"')


@pytest.mark.parametrize(
    "condition",
    [
        b"",
        b"ab",
        b'"abc"',
        b'"x"ab"',
        b'"x, W/"ab""',
        b'w/"ab"',
        b'"*"',
        b'*, "x"',
        b'"x" "ab"',
        b'"' * 60_000,
    ],
)
def test_who_has_something_else(condition: bytes) -> None:
    assert not none_match_fails(condition, b'W/"ab"')
