"""A panel of raters: a blind round, a reveal, a second round, disagreement, and which level to act on meanwhile.

In: what raters did, in the order of the circle's log, with the authors whom the log proves. Out: a frozen state: what
is awaited of whom, what each round says, where raters disagree, the answers that the table takes, the level now, and
every act that counts for nothing with its reason.

Acts are never errors: whoever may not do something is listed and ignored. The order of the log is proven; times are
their authors' word, so that deadlines rest on honest clocks. Nothing here proves that a rater is independent.
"""

from darklantern.assess.panels.acts import Refused
from darklantern.assess.panels.disagreeing import Disagreement
from darklantern.assess.panels.panel import Awaited, Panel, newest, panel
from darklantern.assess.panels.rounds import Rounds, rounds
from darklantern.assess.panels.telling import Told, told

__all__ = ["Awaited", "Disagreement", "Panel", "Refused", "Rounds", "Told", "newest", "panel", "rounds", "told"]
