from store.ids import is_id, new_id


def test_ids_differ_and_look_like_ids():
    ids = [new_id() for _ in range(2000)]

    assert len(set(ids)) == 2000
    assert all(is_id(made) for made in ids)


def test_ids_of_different_milliseconds_sort_by_time():
    ids = [new_id() for _ in range(5000)]

    stamps = [made[:13] for made in ids]
    assert stamps == sorted(stamps)


def test_what_is_no_uuid_of_version_7_is_no_id():
    good = new_id()

    for text in ("", "x", good[:-1], good + "0", good.upper() + "\n", good[:14] + "4" + good[15:], "\0" * 36):
        assert not is_id(text)
