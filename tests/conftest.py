"""Settings for all tests: one thread, Ctrl-C as on a terminal, and in CI a skip is a failure."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)  # the models are tiny; on busy cores a second thread costs a hundredfold
# Whoever starts the tests in the background may have them ignore SIGINT, and all their children with them.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def _few_compiled_functions() -> Iterator[None]:
    """Each function that JAX compiled holds memory maps; XLA crashes where a process has as many as it may, 65,530."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """On a developer's machine a skip is listed with what would enable it; in CI everything must run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") == "true" and skipped and exitstatus == 0:
        reporter.write_line(f"{len(skipped)} tests were skipped, which CI counts as failures", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
