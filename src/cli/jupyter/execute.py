"""Executes one notebook in a Jupyter kernel, cell by cell, and prints its progress as lines of JSON.

    python execute.py KERNEL IN.ipynb OUT.ipynb OUT.html FONTS  # adds PNGs to the figures, and reports the figures
    python execute.py --warm KERNEL FOLDER CELLS              # runs a JSON list of cells, so that what they need is compiled
"""

import base64
import html
import io
import json
import os
import pathlib
import queue
import re
import signal
import sys
import time

import nbformat
import resvg_py
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete, CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer
from PIL import Image

SVG, PNG = "image/svg+xml", "image/png"
STRIP = "application/vnd.em-routing.strip+xml"  # an animation's frames side by side; src/draw/figure.rs names it, too
FIGURE = re.compile(r'<svg data-figure="([a-z0-9-]+)" ')
CARD = re.compile(r'<rect [^>]*?fill="(#[0-9a-f]{6})"')
PIXELS = 2  # pixels of a PNG for each pixel of its figure
ANSI = re.compile(r"\x1b\[[0-9;]*m")
WARM = [
    "let doubled: Vec<f64> = vec![1.0, 2.0].into_iter().map(|x| 2.0 * x).collect();",
    "{\n    let tenfold = |x: f64| 10.0 * x;\n    println!(\"{}\", tenfold(doubled[1]));\n}",
]


# How long to wait for late output of a finished cell. Even later output is read while the next cell runs.
LATE_SECONDS = 0.05


class Unreadable(Exception):
    """A file is not a notebook, or cannot be executed here; the message is one sentence."""


class Client(NotebookClient):
    """Keeps output that arrives late. evcxr sends output from its own thread, so on a busy machine the last lines of a cell can
    arrive after its `idle` message. NotebookClient stops reading at that message, and later
    drops messages of all cells but the running one.

    `_async_poll_output_msg` overrides a private method of nbclient, in the version of requirements.txt;
    tests/notebooks/late_output.py checks that the method still has this name."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.asked = {}  # request id -> (cell, its index)

    async def _async_poll_output_msg(self, parent_msg_id, cell, cell_index):
        self.asked[parent_msg_id] = (cell, cell_index)
        seconds = None  # no limit while the cell runs
        while True:
            try:
                message = await self.kc.iopub_channel.get_msg(timeout=seconds)
            except queue.Empty:
                return
            of = message["parent_header"].get("msg_id")
            try:
                if of in self.asked:
                    self.process_message(message, *self.asked[of])
            except CellExecutionComplete:
                if of == parent_msg_id:
                    seconds = LATE_SECONDS


def tell(**event):
    print(json.dumps(event), flush=True)


def write_whole(path, text):
    """Writes a file atomically: under another name first, then renamed, so that it is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def tidy(notebook):
    """Joins the lines of a stream, which arrive one by one, and numbers the code cells from 1."""
    count = 0
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        joined = []
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            if output.output_type == "stream" and joined and joined[-1].output_type == "stream" and joined[-1].name == output.name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        cell.outputs = joined


def words_of(cell, error):
    """Returns the error that the cell printed, or else the client's error."""
    outputs = cell.get("outputs", [])
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stderr")
    raised = [line for output in outputs if output.output_type == "error" for line in output.traceback or [output.evalue]]
    text = ANSI.sub("", "\n".join([printed.strip(), *raised])).strip()
    return text or str(error)


def png_of(svg, fonts):
    """Renders an SVG in the project's own font, so that it looks the same on every machine; returns a PNG in 256 colours, and
    its size as it is shown. The corners outside the card get the card's colour, since the palette has no transparent one."""
    card = CARD.search(svg)
    rendered = resvg_py.svg_to_bytes(
        svg_string=svg, zoom=PIXELS, background=card and card[1], style_sheet="svg { font-family: 'DejaVu Sans' }",
        font_files=[str(path) for path in sorted(pathlib.Path(fonts).glob("*.ttf"))])
    image = Image.open(io.BytesIO(bytes(rendered))).convert("RGB")
    written = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    return written.getvalue(), {"width": image.width // PIXELS, "height": image.height // PIXELS}


def add_pngs(notebook, fonts):
    """Adds a PNG to each SVG: GitHub, and JupyterLab in a notebook that is not trusted, do not show an SVG."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if SVG not in data:
                continue
            drawn = data.pop(STRIP, data[SVG])
            try:
                png, size = png_of("".join(drawn), fonts)
            except ValueError:  # an SVG of the reader's own that cannot be rendered
                continue
            data[PNG] = base64.b64encode(png).decode("ascii")
            output.setdefault("metadata", {})[PNG] = size


STYLE = """<style>
mtable { math-style: normal; }
menclose { border: 1px solid; padding: 0.4em; }
mtable.aligned > mtr > mtd:nth-child(odd) { text-align: right; }
mtable.aligned > mtr > mtd:nth-child(even) { text-align: left; padding-right: 1em; }
</style>"""


def mathml(body, display):
    """Converts a formula to MathML, which needs no network; returns its LaTeX if it cannot be converted."""
    try:
        formula = convert(body.replace("{aligned}", "{align*}"), display=display)
    except Exception:  # the converter raises errors of any type; a formula in LaTeX is better than no page
        return f"<code>{html.escape(body)}</code>"
    return formula.replace("<mtable", '<mtable class="aligned"') if "{aligned}" in body else formula


def with_words(image):
    """Returns an image of a page with its description as the alternative text."""
    words = re.search(r"<desc>(.*?)</desc>", base64.b64decode(image[1]).decode("utf-8", "replace"), re.S)
    words = html.escape(html.unescape(words[1])) if words else ""
    return f'<img alt="{words}" src="data:{SVG};base64,{image[1]}"'


def page_of(notebook, name):
    """Returns the notebook as one self-contained HTML file. Its title is its first line of text, or else its name."""
    IPythonRenderer.block_math = lambda self, body: mathml(body, "block")
    IPythonRenderer.inline_math = lambda self, body: mathml(body, "inline")
    lines = (line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    title = next((line.strip("# \t") for line in lines if line.strip("# \t")), name)
    body, _ = HTMLExporter(mathjax_url="").from_notebook_node(notebook, {"metadata": {"name": title}})
    body = re.sub(r'href="([\w./-]+)\.ipynb(#[^"]*)?"', r'href="\1.html\2"', body)  # notebooks link to each other
    body = re.sub(r'<img src="data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)"', with_words, body)
    return body.replace('<script src=""> </script>', "").replace("</head>", STYLE + "</head>", 1)


def read(path):
    """Reads a notebook. The Rust program has checked the file before; an error says in one sentence what that check missed."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
        if raw["nbformat"] != 4:
            raise Unreadable(f"it is in the notebook format {raw['nbformat']}, but format 4 is needed")
        for cell in raw["cells"]:
            if cell["cell_type"] == "code":  # drop the old outputs
                cell.update(outputs=[], execution_count=None)
        notebook = nbformat.reads(json.dumps(raw), as_version=4)
        nbformat.validate(notebook)
        return notebook
    except json.JSONDecodeError as error:
        raise Unreadable(f"it is not JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
    except nbformat.ValidationError as error:
        place = " of ".join(str(part) for part in reversed(error.relative_path or []))
        raise Unreadable(f"it is not a valid notebook: {error.message.splitlines()[0][:300]} ({place})") from None
    except OSError as error:
        raise Unreadable(str(error)) from None
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise Unreadable(f"it is not a valid notebook: {type(error).__name__}: {error}") from None


def end_kernel_on_sigterm(client):
    """Kills the kernel, which has its own session, when this process is terminated."""

    def end(number, _frame):
        process = getattr(getattr(client.km, "provisioner", None), "process", None)
        if process is not None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except OSError:
                pass  # it has already ended
        os._exit(128 + number)

    if hasattr(os, "killpg"):
        signal.signal(signal.SIGTERM, end)


def execute(kernel, notebook, folder, go_on=False):
    """Runs the cells. Stops at the first failure, or with `go_on` runs all cells; returns the failures."""
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    if not code:
        tell(event="kernel", cells=0, seconds=0.0)
        return []
    client = Client(notebook, timeout=None, startup_timeout=600, kernel_name=kernel, record_timing=False,
                    resources={"metadata": {"path": str(folder)}})
    end_kernel_on_sigterm(client)
    failed = []
    start = time.monotonic()
    with client.setup_kernel():
        tell(event="kernel", cells=len(code), seconds=time.monotonic() - start)
        for number, index in enumerate(code, 1):
            cell = notebook.cells[index]
            source = cell.source.strip().splitlines()
            tell(event="cell", number=number, line=source[0] if source else "")
            start = time.monotonic()
            try:
                client.execute_cell(cell, index)
            except (CellExecutionError, DeadKernelError) as error:
                failed.append({"number": number, "source": cell.source, "words": words_of(cell, error)})
                if go_on and isinstance(error, CellExecutionError):
                    continue
                break
            figure = any(SVG in output.get("data", {}) for output in cell.outputs)
            tell(event="done", number=number, seconds=time.monotonic() - start, figure=figure)
    return failed


def warm(kernel, folder, cells):
    """Runs the cells so that what they need is compiled. The first cell, the library, and WARM must succeed."""
    sources = json.loads(cells)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources[:1] + WARM + sources[1:]])
    failed = execute(kernel, notebook, pathlib.Path(folder), go_on=True)
    for failure in failed:
        tell(event="failed", **failure)
    return all(failure["number"] > 1 + len(WARM) for failure in failed)


def figures_of(notebook):
    """Yields the name and the SVG of each figure shown."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            svg = "".join(output.get("data", {}).get(SVG, ""))
            named = FIGURE.match(svg)
            if named:
                yield named[1], svg.replace(named[0], "<svg ", 1)


def run(kernel, source, executed, page, fonts):
    """Executes a notebook, writes it and its HTML page, and reports its figures."""
    source = pathlib.Path(source)
    notebook = read(source)
    failed = execute(kernel, notebook, source.parent.resolve())
    tidy(notebook)
    add_pngs(notebook, fonts)
    write_whole(pathlib.Path(executed), nbformat.writes(notebook) + "\n")
    for name, svg in figures_of(notebook):
        tell(event="figure", name=name, svg=svg)
    write_whole(pathlib.Path(page), page_of(notebook, source.stem))
    for failure in failed:
        tell(event="failed", **failure)
    return not failed


def main(arguments):
    try:
        good = warm(*arguments[1:]) if arguments[0] == "--warm" else run(*arguments)
    except Unreadable as error:
        tell(event="unreadable", words=str(error))
        return 1
    if good:
        tell(event="finished")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
