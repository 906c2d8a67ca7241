"""What a cell prints is kept for it although it arrives late: after the cell's `idle`, or while the next cell runs.

    python late_output.py EXECUTE.PY
"""

import asyncio
import importlib.util
import queue
import sys
import types

import nbformat

spec = importlib.util.spec_from_file_location("execute", sys.argv[1])
execute = importlib.util.module_from_spec(spec)
spec.loader.exec_module(execute)


def message(kind, of, **content):
    return {"msg_type": kind, "header": {"msg_type": kind}, "parent_header": {"msg_id": of}, "content": content}


def line(of, text):
    return message("stream", of, name="stdout", text=text)


def idle(of):
    return message("status", of, execution_state="idle")


class Channel:
    """Gives what arrives, and then nothing within a given time."""

    def __init__(self, *messages):
        self.messages = list(messages)

    async def get_msg(self, timeout):
        if self.messages:
            return self.messages.pop(0)
        assert timeout is not None, "it waits forever for a cell that is done"
        raise queue.Empty


assert hasattr(execute.NotebookClient, "_async_poll_output_msg"), "nbclient calls it by another name"
cells = [nbformat.v4.new_code_cell("first"), nbformat.v4.new_code_cell("second")]
client = execute.Client(nbformat.v4.new_notebook(cells=cells), record_timing=False)
client.clear_before_next_output = False  # as execute_cell sets it
arrivals = [
    [line("a", "in time\n"), idle("of another"), line("a", "still in time\n"), idle("a"), line("a", "after idle\n")],
    [line("a", "in the next cell\n"), idle("a"), line("b", "its own\n"), line("of another", "no one's\n"), idle("b")],
]
for number, (cell, messages) in enumerate(zip(cells, arrivals)):
    client.kc = types.SimpleNamespace(iopub_channel=Channel(*messages))
    asyncio.run(client._async_poll_output_msg("ab"[number], cell, number))
execute.tidy(client.nb)
printed = ["".join(output.text for output in cell.outputs) for cell in cells]
expected = ["in time\nstill in time\nafter idle\nin the next cell\n", "its own\n"]
assert printed == expected, printed
print("each line is its cell's")
