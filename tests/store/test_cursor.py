from datetime import UTC, datetime, timedelta, timezone

import pytest

from gradclinic.errors import InvalidSpec
from store.cursor import decode_cursor, encode_cursor
from store.ids import new_id


def test_a_cursor_leads_back_to_its_place_in_utc():
    row_id, moment = new_id(), datetime(2026, 11, 21, 12, tzinfo=timezone(timedelta(hours=5)))
    created_at, found = decode_cursor(encode_cursor(moment, row_id))
    assert (created_at, found, created_at.tzinfo) == (moment, row_id, UTC)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"])
def test_a_moment_that_utc_cannot_write_is_refused(moment: str):
    cursor = encode_cursor(datetime.fromisoformat(moment), new_id())
    with pytest.raises(InvalidSpec) as refused:
        decode_cursor(cursor)
    assert [fault.pointer for fault in refused.value.faults] == ["/cursor"]
