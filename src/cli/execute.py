"""Executes one notebook in a Jupyter kernel, cell by cell, and tells of it in lines of JSON.

    python execute.py KERNEL IN.ipynb OUT.ipynb OUT.html FIGURES    # an SVG goes into FIGURES for each figure shown
    python execute.py --warm KERNEL                                 # what every notebook needs, so that all is compiled
"""

import base64
import html
import json
import os
import pathlib
import queue
import re
import sys
import time

import nbformat
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete, CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer

FIGURE = re.compile(r'data-figure="([a-z0-9-]+)".*?src="data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)"', re.S)
ANSI = re.compile(r"\x1b\[[0-9;]*m")
WARM = [
    "let doubled: Vec<f64> = vec![1.0, 2.0].into_iter().map(|x| 2.0 * x).collect();",
    "{\n    let tenfold = |x: f64| 10.0 * x;\n    println!(\"{}\", tenfold(doubled[1]));\n}",
]


# How long a cell that is done is listened to. What comes later still is taken while the next one runs.
LATE_SECONDS = 0.05


class Client(NotebookClient):
    """Keeps what a cell prints last. evcxr sends it from a thread of its own, so that it can arrive after the cell's `idle`, where
    NotebookClient stops listening, and later it drops what is not of the cell that then runs. It happens on a busy machine.

    `_async_poll_output_msg` is nbclient's own, of the version in requirements.txt; tests/notebooks/late_output.py tells whether it
    is still called so."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.asked = {}  # by the number of its request: a cell and its index

    async def _async_poll_output_msg(self, parent_msg_id, cell, cell_index):
        self.asked[parent_msg_id] = (cell, cell_index)
        seconds = None  # as long as the cell takes
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
    """Beside its place first, then moved there: it is whole or not there at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def tidy(notebook):
    """Joins the lines of a stream, which arrive one by one, and counts the code cells from 1."""
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
    """What the cell itself said of its failure, else what the client says."""
    outputs = cell.get("outputs", [])
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stderr")
    raised = [line for output in outputs if output.output_type == "error" for line in output.traceback or [output.evalue]]
    text = ANSI.sub("", "\n".join([printed.strip(), *raised])).strip()
    return text or str(error)


STYLE = """<style>
mtable { math-style: normal; }
menclose { border: 1px solid; padding: 0.4em; }
mtable.aligned > mtr > mtd:nth-child(odd) { text-align: right; }
mtable.aligned > mtr > mtd:nth-child(even) { text-align: left; padding-right: 1em; }
</style>"""


def mathml(body, display):
    """A formula as the browser's own mathematics, which needs no network; as it stands where it cannot be converted."""
    try:
        formula = convert(body.replace("{aligned}", "{align*}"), display=display)
    except Exception:  # the converter raises whatever it meets; a formula in LaTeX is better than no page
        return f"<code>{html.escape(body)}</code>"
    return formula.replace("<mtable", '<mtable class="aligned"') if "{aligned}" in body else formula


def page_of(notebook):
    """The notebook as one HTML file, complete in itself."""
    IPythonRenderer.block_math = lambda self, body: mathml(body, "block")
    IPythonRenderer.inline_math = lambda self, body: mathml(body, "inline")
    title = next((cell.source.splitlines()[0] for cell in notebook.cells if cell.cell_type == "markdown"), "")
    body, _ = HTMLExporter(mathjax_url="").from_notebook_node(notebook, {"metadata": {"name": title.lstrip("# ")}})
    body = re.sub(r'href="([\w-]+)\.ipynb"', r'href="\1.html"', body)  # chapters link to each other
    return body.replace('<script src=""> </script>', "").replace("</head>", STYLE + "</head>", 1)


def first_cells(folder):
    """The cells in which notebooks name what they depend on, each kind once; the most common first."""
    counts = {}
    for path in sorted(folder.glob("*.ipynb")):
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        counts[cells[0]] = counts.get(cells[0], 0) + 1
    return sorted(counts, key=lambda source: -counts[source])


def execute(kernel, notebook, folder):
    """Runs the cells; returns None, or what failed."""
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    client = Client(notebook, timeout=None, startup_timeout=600, kernel_name=kernel, record_timing=False,
                    resources={"metadata": {"path": str(folder)}})
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
                return {"number": number, "source": cell.source, "words": words_of(cell, error)}
            figure = any("data-figure" in "".join(output.get("data", {}).get("text/html", "")) for output in cell.outputs)
            tell(event="done", number=number, seconds=time.monotonic() - start, figure=figure)
    return None


def main(arguments):
    if arguments[0] == "--warm":
        folder = pathlib.Path(__file__).resolve().parents[2] / "notebooks"
        sources = first_cells(folder)
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources[:1] + WARM + sources[1:]])
        failed = execute(arguments[1], notebook, folder)
    else:
        kernel, source, executed, page, figures = arguments
        source = pathlib.Path(source)
        notebook = nbformat.read(source, as_version=4)
        failed = execute(kernel, notebook, source.parent.resolve())
        tidy(notebook)
        write_whole(pathlib.Path(executed), nbformat.writes(notebook) + "\n")
        names = []
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                for name, data in FIGURE.findall("".join(output.get("data", {}).get("text/html", ""))):
                    write_whole(pathlib.Path(figures) / f"{name}.svg", base64.b64decode(data).decode("utf-8"))
                    names.append(name)
        write_whole(pathlib.Path(page), page_of(notebook))
        tell(event="figures", names=names)
    if failed:
        tell(event="failed", **failed)
        return 1
    tell(event="finished")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
