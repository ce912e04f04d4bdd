"""The table and assessments in the JSON of SSVC (CERT/CC), for tools that speak it: out and in.

In: a checked table, an assessment; or JSON that somebody made. Out: decision points, decision tables and selection
lists of SSVC's schema 2.0.0, or the rows and answers in them. Values run from open to closed, as SSVC wants its values
ordered.

What a selection list cannot hold is lost on the way out, and said where it is lost: who answered, how (measured,
judged, attested), intervals, evidence, disputes, made-up raters, overrides and what closing costs. A selection list
that comes in is therefore one rater's word, named by whoever takes it.
"""

from darklantern.assess.ssvc.reading import read_selections, read_table
from darklantern.assess.ssvc.writing import decision_point, decision_table, level_table, selections

__all__ = ["decision_point", "decision_table", "level_table", "read_selections", "read_table", "selections"]
