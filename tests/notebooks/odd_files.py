"""Every file that is odd is told in one sentence, and every notebook that can be executed has a page.

    python odd_files.py EXECUTE.PY
"""

import importlib.util
import json
import pathlib
import sys
import tempfile

spec = importlib.util.spec_from_file_location("execute", sys.argv[1])
execute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(execute)


def notebook(*cells, **more):
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": list(cells)} | more)


def cell(kind, source, **more):
    return {"cell_type": kind, "metadata": {}, "source": source} | more


good = {
    "no cells": (notebook(), "name"),
    "an empty cell of text": (notebook(cell("markdown", "")), "name"),
    "empty cells before the title": (notebook(cell("markdown", []), cell("markdown", "\n\n# Title\nmore")), "Title"),
    "a raw cell": (notebook(cell("raw", "raw")), "name"),
    "a code cell without outputs": (notebook(cell("code", ["1\n", "2"])), "name"),
    "outputs that are none": (notebook(cell("code", "1", outputs=[3], execution_count="x")), "name"),
    "a byte-order mark": ("\ufeff" + notebook(cell("markdown", "# Title")), "Title"),
}
bad = {
    "{": "line 1 column 2",
    "3": "not a valid notebook",
    "[" * 100_000: "not a valid notebook",
    notebook(nbformat=3): "format 3",
    notebook(3): "not a valid notebook",
    notebook(cell("markdown", 3)): "not a valid notebook",
    notebook({"cell_type": "code"}): "not a valid notebook",
}
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "odd.ipynb"
    for what, (text, title) in good.items():
        path.write_text(text, encoding="utf-8")
        page = execute.page_of(execute.read(path), "name")
        assert f"<title>{title}</title>" in page, what
    for text, words in bad.items():
        path.write_text(text, encoding="utf-8")
        try:
            execute.read(path)
            raise AssertionError(f"it was read: {text[:80]}")
        except execute.Unreadable as error:
            assert words in str(error) and "\n" not in str(error), str(error)
    path.write_bytes(b"\xff")
    for path in [path, pathlib.Path(folder), pathlib.Path(folder) / "none"]:
        try:
            execute.read(path)
            raise AssertionError(f"it was read: {path}")
        except execute.Unreadable:
            pass
print("each odd file is told in one sentence")
