"""Settings for all tests: quick compiling, one thread, Ctrl-C as on a terminal, and in CI a skip is a failure."""

import gc
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
import torch

# JAX compiles thousands of functions here, each to run once or twice: without optimisation, by XLA's older emitters and
# in one piece, in a third of the time. XLA reads this when it first compiles, and so do the processes that tests start.
# Numbers may differ in their last digits. `XLA_FLAGS= make test` compiles as JAX does by itself.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
torch.set_num_threads(1)  # the models are tiny; on busy cores a second thread costs a hundredfold
# Whoever starts the tests in the background may have them ignore SIGINT, and all their children with them.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def _few_compiled_functions() -> Iterator[None]:
    """Each function that JAX compiled holds memory maps; XLA crashes where a process has as many as it may, 65,530."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On several cores, files with the most slow tests go first: a long one at the end would have one core alone.

    The order within a file stays random, and that of files without slow tests; `pytest` alone shuffles all.
    """
    if hasattr(config, "workerinput"):
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[item.path])  # ties stay as they were shuffled


def pytest_collection_finish() -> None:
    """A million objects of torch, JAX and the tests themselves stay to the end: no collection looks at them again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """On a developer's machine a skip is listed with what would enable it; in CI everything must run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") == "true" and skipped and exitstatus == 0:
        reporter.write_line(f"{len(skipped)} tests were skipped, which CI counts as failures", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
