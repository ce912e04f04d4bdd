"""What a neuron, a direction or a feature responds to: spans, a rule in words, and how well it holds.

In: a model, text, and what is to be labelled. Out: labels, with scores on text they were not made from. No language
model is needed, and none is loaded here: who has one hands it over as a function.
"""

from darklantern.methods.labels.features import Feature
from darklantern.methods.labels.intervening import Intervention, intervene
from darklantern.methods.labels.judging import ByModel, ByRule, Judge
from darklantern.methods.labels.labelled import Label
from darklantern.methods.labels.labelling import label, label_each
from darklantern.methods.labels.rules import Lift, Rule
from darklantern.methods.labels.scoring import Score, detection, fuzzing
from darklantern.methods.labels.spans import Span

__all__ = [
    "ByModel",
    "ByRule",
    "Feature",
    "Intervention",
    "Judge",
    "Label",
    "Lift",
    "Rule",
    "Score",
    "Span",
    "detection",
    "fuzzing",
    "intervene",
    "label",
    "label_each",
]
