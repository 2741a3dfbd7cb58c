"""Keys: what is one, who has one, and that none of them ever shows."""

import pickle
from pathlib import Path

import pytest

from raylign.errors import ConfigError
from raylign.serve.key_source import KeySource
from raylign.serve.keys import Keys, fingerprint, presented_key, read_keys

FIRST, SECOND = "first-key-0123456789", "second-key-0123456789"


def test_each_of_several_keys_opens_and_nothing_else_does() -> None:
    keys = read_keys(f"# for the team\n{FIRST}\n\n  {SECOND}  \n", "here")
    assert len(keys) == 2
    assert keys.match(FIRST.encode()) == fingerprint(FIRST.encode())
    assert keys.match(SECOND.encode()) == fingerprint(SECOND.encode())
    for wrong in (b"", FIRST[:-1].encode(), FIRST.upper().encode(), f"{FIRST}{SECOND}".encode(), b"\xff\x00"):
        assert keys.match(wrong) is None
    assert Keys([]).match(FIRST.encode()) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [("", "no key"), ("# none\n", "no key"), ("short", "5 characters"), ("two words 0123456789", "spaces")],
)
def test_what_is_no_key_is_refused_without_being_shown(text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        read_keys(text, "the file")
    assert not text or text not in str(caught.value)


def test_neither_the_keys_nor_their_pickle_nor_a_fingerprint_shows_one() -> None:
    keys = Keys([FIRST])
    for shown in (repr(keys), str(keys), fingerprint(FIRST.encode())):
        assert FIRST not in shown
    assert FIRST.encode() not in pickle.dumps(KeySource("SOME_VARIABLE", None))


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([(b"authorization", b"Bearer abc")], b"abc"),
        ([(b"Authorization", b"bearer  abc ")], b"abc"),
        ([(b"authorization", b"Basic abc")], None),
        ([(b"authorization", b"abc")], None),
        ([(b"authorization", b"Bearer ")], None),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], None),
        ([], None),
    ],
)
def test_the_token_is_read_off_one_bearer_header(headers: list[tuple[bytes, bytes]], token: bytes | None) -> None:
    assert presented_key(headers) == token


def test_a_variable_holds_keys_by_commas_and_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS_OF_THE_ENDPOINT", f"{FIRST},{SECOND}")
    source = KeySource("KEYS_OF_THE_ENDPOINT", None)
    keys, one = source.current(), source.one()
    assert keys is not None
    assert one is not None
    assert keys.match(SECOND.encode())
    assert keys.match(one.reveal().encode())
    monkeypatch.delenv("KEYS_OF_THE_ENDPOINT")
    with pytest.raises(ConfigError, match=r"KEYS_OF_THE_ENDPOINT.*is not set.*before Ray starts"):
        KeySource("KEYS_OF_THE_ENDPOINT", None).read()
    assert KeySource(None, None).read() is None


def test_a_file_of_keys_is_read_again_when_it_changes_and_fails_closed(tmp_path: Path) -> None:
    now, path = [0.0], tmp_path / "keys"
    path.write_text(FIRST)
    source = KeySource(None, str(path), clock=lambda: now[0])

    def opens(key: str) -> bool:
        keys = source.current()
        assert keys is not None
        return keys.match(key.encode()) is not None

    assert (opens(FIRST), opens(SECOND)) == (True, False)
    replacement = tmp_path / "new"
    replacement.write_text(SECOND)
    replacement.replace(path)
    assert opens(FIRST)  # no look at the file within a second
    now[0] = 2.0
    assert (opens(FIRST), opens(SECOND)) == (False, True)
    path.unlink()
    now[0] = 4.0
    assert (opens(FIRST), opens(SECOND)) == (False, False)
    path.write_text(f"{FIRST}\n{SECOND}")
    now[0] = 6.0
    assert (opens(FIRST), opens(SECOND)) == (True, True)
    with pytest.raises(ConfigError, match="No such file"):
        KeySource(None, str(tmp_path / "nowhere")).read()
