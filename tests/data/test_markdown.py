"""Tables in Markdown: what they look like, character by character."""

from snippets.data.markdown import markdown_table


def test_a_table_has_a_rule_and_no_cell_is_wider_than_its_text():
    assert markdown_table(("", "loss", "clips"), [["a b", 0.123456, 7], ["c", "", "1,000"]], numbers=1) == (
        "| | loss | clips |\n|---|---|---:|\n| a b | 0.1235 | 7 |\n| c | | 1,000 |"
    )


def test_a_table_without_rows_is_its_head():
    assert markdown_table(["a"], []) == "| a |\n|---|"
