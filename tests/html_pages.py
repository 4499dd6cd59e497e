"""Reading the pages that are written, for those who test them."""

from html.parser import HTMLParser
from typing import Any

EMPTY = ('meta', 'img', 'br', 'wbr')


class Reader(HTMLParser):
    """Collects a page's elements and text, and complains of what is not closed."""

    def __init__(self):
        super().__init__()
        self.found: list[tuple[str, dict[str, Any]]] = []
        self.open: list[str] = []
        self.text = ''

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if 'style' not in self.open else ''

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def read(path, reader=None):
    """A page, read to its end, by a `Reader` if no other is given."""
    reader = reader or Reader()
    reader.feed(path.read_text(encoding='utf-8'))
    assert reader.open == []
    return reader
