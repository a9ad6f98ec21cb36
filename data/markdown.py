"""Tables in Markdown, for reports and documentation."""


def markdown_table(head, rows, numbers=0):
    """The text of a table: head, the columns' titles, and rows, lists of as many cells.

    The last `numbers` columns are aligned to the right. A float is written with four digits, all else as str shows it.
    """
    rule = "|---" * (len(head) - numbers) + "|---:" * numbers + "|"
    first, *others = ("|" + "".join(map(_cell, row)) for row in (head, *rows))
    return "\n".join([first, rule, *others])


def _cell(value):
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f" {text} |" if text else " |"
