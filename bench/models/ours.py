"""The product's worker: darklantern, against the same requests as the peers."""

from models import cases
from models.names import ONCE, TIMED, TOLD
from models.protocol import serve

CASES = {name: cases.unsupported("not written yet") for name in (*TIMED, *TOLD, *ONCE)}

if __name__ == "__main__":
    serve("darklantern", "darklantern", CASES)
