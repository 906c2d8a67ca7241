"""Times scikit-learn for `cargo bench --bench compare -- mixtures`.

    python mixtures.py (gmm|kmeans) DATA.npy START.npy FEW MANY THREADS

Reads the data and the start and prints scikit-learn's version. Then, for each line of its standard input, fits with FEW and with MANY
iterations and prints the seconds of both fits, the difference of their iterations, and the peak memory above that before.
"""
import json
import os
import sys
import time
import warnings

algorithm, data_path, start_path = sys.argv[1:4]
few, many, threads = map(int, sys.argv[4:7])
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
warnings.filterwarnings("ignore")  # the fits do not converge, on purpose

import numpy as np  # noqa: E402
import sklearn  # noqa: E402
from sklearn.cluster import KMeans  # noqa: E402
from sklearn.mixture import GaussianMixture  # noqa: E402

data, start = np.load(data_path), np.load(start_path)
k, d = start.shape


def memory(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(key))


def fit(iterations):
    if algorithm == "gmm":
        model = GaussianMixture(k, covariance_type="full", tol=0.0, reg_covar=1e-6, max_iter=iterations,
                                weights_init=np.full(k, 1 / k), means_init=start,
                                precisions_init=np.array([np.eye(d)] * k))
    else:
        model = KMeans(k, init=start, n_init=1, tol=0, max_iter=iterations, algorithm="lloyd")
    began = time.perf_counter()
    made = model.fit(data).n_iter_
    return time.perf_counter() - began, made


print(json.dumps({"peer": f"scikit-learn {sklearn.__version__}"}), flush=True)
for _ in sys.stdin:
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")  # resets the peak to the current memory
    before = memory("VmRSS")
    few_seconds, few_made = fit(few)
    many_seconds, many_made = fit(many)
    print(json.dumps({"few": few_seconds, "many": many_seconds, "iterations": many_made - few_made,
                      "peak_mib": memory("VmHWM") - before}), flush=True)
