"""Times the capsule network in PyTorch: prints a line per round with the seconds of a training step and of an inference.

    python capsnet.py BATCH THREADS naive|opt

It prints its name first, then waits for a line on its standard input before each round.
"""
import json
import sys
import time

import torch

import capsnet_torch

batch, threads, routing = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(threads)
torch.manual_seed(66)
network = capsnet_torch.CapsNet(impl=routing)
images, labels = torch.rand(batch, 1, 28, 28) * 2 - 1, torch.randint(0, 10, (batch,))
forward = torch.compile(network)
optimiser = torch.optim.Adam(network.parameters(), 1e-3)


def train():
    optimiser.zero_grad(set_to_none=True)
    _, activations = forward(images)
    capsnet_torch.spread_loss(activations, labels, 0.2).backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 4.0)
    optimiser.step()


def infer():
    with torch.inference_mode():
        forward(images)


def seconds(function):
    """Returns the mean time of a call over at least one second."""
    start, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - start < 1:
        function()
        calls += 1
    return (time.perf_counter() - start) / calls


def forget_peak():
    """Resets the peak memory of this process to its current memory."""
    try:
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
    except OSError:
        pass  # the peak is then that since the start


def peak_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


for function in (train, train, infer, infer):  # compile and warm up
    function()
print(json.dumps({"peer": f"PyTorch {torch.__version__}, compiled, {routing}"}), flush=True)
for _ in sys.stdin:
    forget_peak()
    print(json.dumps({"train": seconds(train), "infer": seconds(infer), "peak_mib": peak_mib()}), flush=True)
