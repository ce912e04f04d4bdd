"""Partial runs: `start` at each block gives a bare run's bits, or says why it cannot."""

import re
from collections.abc import Iterator

from torch import nn

from darklantern.errors import DarkLanternError
from darklantern.models.calling import call
from darklantern.models.on_torch.checking.certificate import DIFFERS, NOT_COVERED, OK, Outcome
from darklantern.models.on_torch.checking.comparing import EXACT
from darklantern.models.on_torch.checking.subject import BROKEN, Subject, same, told
from darklantern.models.on_torch.entering import without_cache

ORACLE = "a run from here = a whole run"


def findings(subject: Subject) -> Iterator[Outcome]:
    inputs = without_cache(subject.module, subject.fresh())
    with subject.unchanged():
        whole = call(subject.module, inputs)
    for site, _ in subject.sites:
        if site.port == "out" and re.fullmatch(r"(?:.*\.)?layers\.\d+", site.path) and _listed(subject, site.path):
            verdict, reason = OK, ""
            try:
                with subject.unchanged():
                    start = subject.model.start(subject.fresh(), site.path)
                with subject.unchanged():
                    output = subject.model.run(start)
                if not same(output, whole):
                    verdict, reason = DIFFERS, "the output's bits are not those of a whole run"
                    if subject.fused and same(output, start.output):
                        verdict, reason = NOT_COVERED, "without any hook torch rounds otherwise; as a run with hooks"
            except DarkLanternError as error:
                verdict, reason = NOT_COVERED, told(error)
            except BROKEN as error:
                verdict, reason = DIFFERS, f"starting crashed: {told(error)}"
            yield Outcome(site.path, "start", ORACLE, verdict, None, EXACT, reason)


def _listed(subject: Subject, path: str) -> bool:
    parent = subject.model.native(f"{path}:out").rpartition(".")[0]
    return isinstance(subject.module.get_submodule(parent), nn.ModuleList)
