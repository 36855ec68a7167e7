"""Laws of a row: what is read is what was written, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.policy.last_known_good import Stored
from sidecar.stores.record import Row, from_row, to_row

seconds = st.floats(0, 1e10)
answers = st.builds(
    Stored,
    st.integers(100, 599),
    st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3).map(tuple),
    st.binary(max_size=40),
    seconds,
    seconds,
    seconds | st.just(float("inf")),
)
keys = st.binary(min_size=1, max_size=32)


@given(key=keys, stored=answers)
def test_a_row_is_read_as_the_answer_it_was_made_of(key: bytes, stored: Stored) -> None:
    """Every field, whatever bytes are in it."""
    assert from_row(to_row(key, stored)) == stored


@given(key=keys, stored=answers, field=st.sampled_from(Row._fields), data=st.data())
def test_a_row_with_any_byte_changed_is_no_answer(key: bytes, stored: Stored, field: str, data: st.DataObject) -> None:
    """In its key, head, body or checksum: never another answer, never an error."""
    row = to_row(key, stored)
    whole = bytearray(getattr(row, field))
    if whole:
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        whole += b"x"
    assert from_row(row._replace(**{field: bytes(whole)})) is None


@given(key=keys, stored=answers, cut=st.integers(1, 8))
def test_nothing_moves_from_one_column_into_the_next(key: bytes, stored: Stored, cut: int) -> None:
    """The same bytes in a row, cut elsewhere, are another row."""
    row = to_row(key, stored)
    moved = row._replace(head=row.head[:-cut], body=row.head[-cut:] + row.body)
    assert from_row(moved) is None


@pytest.mark.parametrize("value", [None, 1, "text", 1.5])
def test_a_column_of_another_type_is_no_answer(value: object) -> None:
    """SQLite lets any type stand in any column."""
    row = to_row(b"key", Stored(200, (), b"body", 1.0))
    for field in Row._fields:
        assert from_row(row._replace(**{field: value})) is None
