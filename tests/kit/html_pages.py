"""What every page in HTML must be: well formed, one file, in words for those who cannot see it, and for any screen."""

import base64
import io
import re
from html.parser import HTMLParser

from imageio.v3 import imread

VOID = ("meta", "img", "br", "link", "hr", "input")


class Page(HTMLParser):
    """Tags with their attributes, texts, and the pictures of a page; AssertionError if a tag is not closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] != "style" and data.strip():
            self.texts.append(data.strip())

    def of(self, tag):
        """The attributes of all tags of that name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def pictures(self):
        """{alt: image (H, W, C)} of the pictures inside the page."""
        return {
            each["alt"]: imread(io.BytesIO(base64.b64decode(each["src"].partition(",")[2]))) for each in self.of("img")
        }


def check_page(path):
    """The `Page` at the path, which is one file with all that it needs."""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert text.startswith("<!doctype html>\n") and page.of("html")[0]["lang"] == "en"
    names = {each.get("name"): each for each in page.of("meta")}
    assert names["viewport"]["content"].startswith("width=device-width") and "utf-8" in str(page.of("meta"))
    alone = re.sub(r"data:image/[^\"]*", "", text)
    assert not any(word in alone for word in ("http", "url(", "@import", "//"))  # nothing from elsewhere
    assert not page.of("script") and not page.of("link") and not page.of("iframe")
    for each in page.of("img"):
        assert each["src"].startswith(("data:image/png;base64,", "data:image/jpeg;base64,"))
        assert each["alt"].strip()
    assert all(picture.ndim == 3 and min(picture.shape[:2]) > 1 for picture in page.pictures().values())
    headings = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(headings, headings[1:], strict=False))  # none is left out
    return page
