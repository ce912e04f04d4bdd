"""Ask a model why: reporters that read an answer inside, each answer with the check whether the model acts on it.

In: a model, a question with the output that each answer predicts, and examples in two halves. Out: answers, supported
or not. A reporter never sees an output; what is decodable and has no effect is said to be unsupported.
"""

from darklantern.methods.asking.answers import Answers
from darklantern.methods.asking.asking import ask
from darklantern.methods.asking.checking import Check, interchange
from darklantern.methods.asking.questions import Question
from darklantern.methods.asking.read_outs import ReadOut
from darklantern.methods.asking.reader import TrainedReader, train_reader
from darklantern.methods.asking.reading_out import read_out

__all__ = ["Answers", "Check", "Question", "ReadOut", "TrainedReader", "ask", "interchange", "read_out", "train_reader"]
