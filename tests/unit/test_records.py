"""Rows keep their types through Arrow, and ids depend on content alone."""

from raylign.records import Draft, Pair, Prompt, Rejected, Revision, arrow_schema, content_id, to_table


def test_id_is_the_same_on_any_machine() -> None:
    # sha256 of '["prompt",[{"content":"Hi","role":"user"}]]', first 32 hex digits
    assert content_id("prompt", [{"role": "user", "content": "Hi"}]) == "a0f07a8a5b85e3bfbfc3109555653af7"


def test_id_ignores_key_order_and_tells_parts_apart() -> None:
    assert content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1})
    assert content_id("ab", "c") != content_id("a", "bc")


def test_rows_come_back_from_arrow_as_they_were() -> None:
    row = Prompt("p1", [{"role": "user", "content": "Grüß 👋"}], "heldout", "set")
    table = to_table(Prompt, [row])
    assert [Prompt(**values) for values in table.to_pylist()] == [row]
    assert to_table(Prompt, []).schema == table.schema


def test_every_record_has_a_schema_with_its_fields() -> None:
    for record in (Prompt, Draft, Revision, Pair, Rejected):
        assert arrow_schema(record).names == list(record.__dataclass_fields__)
