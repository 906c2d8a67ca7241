"""A figure is one bundle of SVG, PNG and words; it is shown where HTML, or SVG, is not trusted.

    python figures_travel.py EXECUTE.PY ANIMATION.SVG STRIP.SVG
"""

import base64
import importlib.util
import io
import pathlib
import re
import sys

import nbformat
from nbconvert import HTMLExporter
from PIL import Image

spec = importlib.util.spec_from_file_location("execute", sys.argv[1])
execute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(execute)
FONTS = "assets/fonts"
svg, strip = (pathlib.Path(path).read_text(encoding="utf-8") for path in sys.argv[2:4])
named = svg.replace("<svg ", '<svg data-figure="moving" ', 1)


def notebook(**data):
    output = nbformat.v4.new_output("execute_result", data, execution_count=1)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])])


def pixels(png):
    return Image.open(io.BytesIO(png)).convert("RGB")


# one bundle: the PNG shows the strip, and the strip itself is left out
moving = notebook(**{execute.SVG: named, execute.STRIP: strip, "text/plain": "words"})
execute.add_pngs(moving, FONTS)
output = moving.cells[0].outputs[0]
assert sorted(output.data) == [execute.PNG, execute.SVG, "text/plain"], sorted(output.data)
nbformat.validate(moving)
image = pixels(base64.b64decode(output.data[execute.PNG]))
width, height = (int(re.search(rf'{side}="(\d+)"', strip)[1]) for side in ["width", "height"])
assert image.size == (2 * width, 2 * height), image.size
assert output.metadata[execute.PNG] == {"width": width, "height": height}, output.metadata
assert Image.open(io.BytesIO(base64.b64decode(output.data[execute.PNG]))).mode == "P"
assert list(execute.figures_of(moving)) == [("moving", svg)]

# text is drawn in our own font, with or without fonts in the system
letters = '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30" fill="white" font-family="Arial"><text y="20">{}</text></svg>'
for text in ["log", "\u03b8\u2192\u2212\u221d\u2070\u2080"]:
    blank, drawn = (pixels(execute.png_of(letters.format(text), fonts)[0]) for text, fonts in [("", FONTS), (text, FONTS)])
    assert blank.tobytes() != drawn.tobytes(), text
render = execute.resvg_py.svg_to_bytes
with_system = execute.png_of(svg, FONTS)[0]
execute.resvg_py.svg_to_bytes = lambda **options: render(skip_system_fonts=True, **options)
assert execute.png_of(svg, FONTS)[0] == with_system, "fonts of the system change a figure"

# an SVG that cannot be rendered stays as it is
broken = notebook(**{execute.SVG: "<svg"})
execute.add_pngs(broken, FONTS)
assert list(broken.cells[0].outputs[0].data) == [execute.SVG]

# a strict viewer shows an image; our own page has it with its words, and the animation in it
shown, _ = HTMLExporter(sanitize_html=True).from_notebook_node(moving)
assert re.search(r'<img[^>]*src="data:image/(png|svg\+xml);base64,', shown), "the figure is gone"
page = execute.page_of(moving, "name")
assert re.search(r'<img alt="[^"]{20,}" src="data:image/svg\+xml;base64,', page), "the page shows no figure with words"

# links between notebooks become links between pages; links elsewhere stay
links = nbformat.v4.new_markdown_cell("[a](01_x.ipynb) [b](../01_x.ipynb#top) [c](solutions/01_x.ipynb) [d](https://x.org/y.ipynb)")
page = execute.page_of(nbformat.v4.new_notebook(cells=[links]), "name")
for link in ["01_x.html", "../01_x.html#top", "solutions/01_x.html", "https://x.org/y.ipynb"]:
    assert f'href="{link}"' in page, link
print("figures travel")
